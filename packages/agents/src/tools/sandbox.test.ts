/** R90, M7: with the bubblewrap of this machine, if it works here; and what follows if it does not. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryDirectory } from '../../test/temporary.ts';
import { findSandbox, type Sandbox } from './sandbox.ts';
import { proveSandbox } from './sandbox-proof.ts';
import { rightOf, shellTool, UNCONFINED } from './shell.ts';

const here = findSandbox(process.env['PATH']);

test.skipIf(here.kind === 'none')(
  'R90, M7: a command in the sandbox reaches neither the data directory, nor processes, nor the network, nor a link out',
  async () => {
    const proof = await proveSandbox(here, await temporaryDirectory());
    expect(proof.reached).toEqual([]);
    expect(proof.checked).toBeGreaterThan(6);
    expect(proof.works).toEqual(['workspace', 'programs', 'temporary files', 'a child process']);
  },
);

test('R90: without a sandbox every one of them is reached, so the proof can fail', async () => {
  const none: Sandbox = { kind: 'none', why: 'A test.' };
  const proof = await proveSandbox(none, await temporaryDirectory());
  expect(proof.reached).toContain('the data directory');
  expect(proof.reached).toContain('a link out of the workspace');
});

test('R90: a bubblewrap that may not make namespaces is none, and only an admin may allow a command then', async () => {
  const folder = await temporaryDirectory();
  const fake = join(folder, 'bwrap');
  writeFileSync(fake, '#!/bin/sh\necho "bwrap: No permissions to create new namespace" >&2\nexit 1\n');
  chmodSync(fake, 0o755);
  const sandbox = findSandbox(folder);
  expect(sandbox).toEqual({
    kind: 'none',
    why: 'bubblewrap does not work here: bwrap: No permissions to create new namespace.',
  });
  const confinement = { ...UNCONFINED, sandbox };
  expect(rightOf(confinement)).toBe('admin');
  expect(rightOf({ ...confinement, allowsUnsandboxed: true })).toBe('tools');
  expect(rightOf({ ...confinement, sandbox: { kind: 'bubblewrap', file: fake } })).toBe('tools');
  const opened = shellTool({ root: folder, env: {}, confinement }).open({ command: 'true' });
  expect(opened.kind === 'call' && opened.call.detail).toContain('It is not confined');
});

test('R90: without bubblewrap on the search path there is no sandbox', async () => {
  const folder = await temporaryDirectory();
  mkdirSync(join(folder, 'bin'));
  symlinkSync('/bin/sh', join(folder, 'bin', 'sh'));
  expect(findSandbox(join(folder, 'bin'))).toMatchObject({ kind: 'none' });
  expect(findSandbox(undefined)).toMatchObject({ kind: 'none' });
});
