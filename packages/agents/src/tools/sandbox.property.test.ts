/** R90, M7: which part of the machine a command sees, as a rule about the arguments of bubblewrap. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { sandboxArguments, type SandboxPolicy } from './sandbox.ts';

const name = fc.stringMatching(/^[a-z]{1,4}$/);
const folder = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`);
const policies = fc.record({
  workspace: folder,
  hidden: fc.array(folder, { maxLength: 3 }),
  network: fc.boolean(),
  env: fc.dictionary(fc.stringMatching(/^[A-Z]{1,6}$/), fc.string({ maxLength: 8 })),
});
/** A data directory that is the workspace, or lies around, within or beside it. */
const related = fc.record({
  policy: policies,
  below: fc.array(name, { maxLength: 2 }),
  way: fc.constantFrom('in', 'around'),
});

/** What stands at a place after all mounts, in order: a mount covers all that lies at and below it. */
function seenAt(args: readonly string[], place: string): 'nothing' | 'empty' | 'read-only' | 'writable' {
  let seen: ReturnType<typeof seenAt> = 'nothing';
  const kinds = { '--tmpfs': 'empty', '--ro-bind-try': 'read-only', '--bind': 'writable' } as const;
  for (let index = 0; index < args.indexOf('--chdir'); index += 1) {
    const kind = kinds[args[index] as keyof typeof kinds];
    if (kind === undefined) continue;
    const at = args[index + (kind === 'empty' ? 1 : 2)] ?? '';
    if (place === at || place.startsWith(`${at}/`)) seen = kind;
  }
  return seen;
}

test('R90, M7: a hidden folder is never seen, and the workspace is writable unless a hidden folder covers it', () => {
  fc.assert(
    fc.property(related, ({ policy, below, way }) => {
      const inner = `${policy.workspace}${below.map((part) => `/${part}`).join('')}`;
      const [workspace, data] = way === 'in' ? [policy.workspace, inner] : [inner, policy.workspace];
      const hidden = [...policy.hidden, data];
      const args = sandboxArguments({ ...policy, workspace, hidden });
      const coversWorkspace = hidden.includes(workspace);
      const isInWorkspace = (place: string): boolean => place === workspace || place.startsWith(`${workspace}/`);
      // A hidden folder around the workspace shows the workspace alone.
      for (const place of hidden)
        expect(seenAt(args, `${place}/gateway.json`)).toBe(
          isInWorkspace(`${place}/gateway.json`) && !isInWorkspace(place) ? 'writable' : 'empty',
        );
      if (!coversWorkspace) expect(seenAt(args, workspace)).toBe('writable');
    }),
  );
});

test('R90: nothing is shared that the policy does not name, and no variable of the gateway is passed on', () => {
  fc.assert(
    fc.property(policies, (policy: SandboxPolicy) => {
      const args = sandboxArguments(policy);
      expect(args.includes('--share-net')).toBe(policy.network);
      expect(args).toContain('--unshare-all');
      expect(args).toContain('--clearenv');
      const set = args.flatMap((arg, index) => (arg === '--setenv' ? [[args[index + 1], args[index + 2]]] : []));
      expect(Object.fromEntries(set)).toEqual({ ...policy.env });
      const writable = args.flatMap((arg, index) => (arg === '--bind' ? [args[index + 1]] : []));
      expect(writable).toEqual([policy.workspace]);
      expect(seenAt(args, '/root/.ssh/id_ed25519')).toBe(
        policy.workspace.startsWith('/root') ? expect.anything() : 'nothing',
      );
      expect(seenAt(args, '/etc/shadow')).toBe('nothing');
    }),
  );
});
