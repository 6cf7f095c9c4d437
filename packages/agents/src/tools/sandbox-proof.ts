/**
 * Tries to leave the sandbox of this machine, as a hostile command would, and tells what it reached (`npm run sandbox`).
 *
 * The world of a trial: a data directory with a secret inside the workspace, another one around a second workspace, a neighbour's
 * workspace, a server on loopback, and a secret in the environment of this process.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { systemClock } from '@holdfast/session';
import type { Sandbox } from './sandbox.ts';
import { shellTool } from './shell.ts';

export interface SandboxProof {
  readonly checked: number;
  /** What a command reached that it must not reach. Empty: the sandbox holds. */
  readonly reached: readonly string[];
  /** What a command could do that it must be able to do. */
  readonly works: readonly string[];
}

export async function proveSandbox(sandbox: Sandbox, dir: string): Promise<SandboxProof> {
  const secret = `secret-${randomUUID()}`;
  const outside = path.join(dir, 'outside');
  const workspace = path.join(dir, 'workspace');
  const data = path.join(workspace, 'data');
  const around = path.join(dir, 'around');
  const inner = path.join(around, 'workspaces', 'one');
  for (const folder of [outside, data, inner, path.join(around, 'workspaces', 'two')])
    mkdirSync(folder, { recursive: true });
  for (const folder of [outside, data, around, path.join(around, 'workspaces', 'two')])
    writeFileSync(path.join(folder, 'gateway.json'), secret);
  symlinkSync(outside, path.join(workspace, 'link'));
  const server = createServer((_request, response) => response.end(secret)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  process.env['HOLDFAST_SANDBOX_PROOF'] = secret;

  const tool = (root: string, hidden: string) =>
    shellTool({
      root,
      env: process.env,
      confinement: { sandbox, hidden: [hidden], network: false, allowsUnsandboxed: false },
    });
  const said = async (command: string, root = workspace, hidden = data): Promise<string> => {
    const opened = tool(root, hidden).open({ command, timeoutSeconds: 20 });
    if (opened.kind === 'invalid') throw new Error(opened.reason);
    const running = opened.call.run({ signal: new AbortController().signal, clock: systemClock });
    let output = '';
    for (;;) {
      const next = await running.next();
      if (next.done === true) return output;
      output += next.value;
    }
  };

  const attempts: readonly (readonly [string, string, root?: string, hidden?: string])[] = [
    ['the data directory', `cat ${data}/gateway.json`],
    ['the data directory by a relative path', 'cat data/gateway.json ./workspace/../data/gateway.json'],
    ['a link out of the workspace', 'cat link/gateway.json'],
    ['a folder beside the workspace', `cat ${outside}/gateway.json`],
    ['a data directory around the workspace', `cat ${around}/gateway.json`, inner, around],
    ["another session's workspace", `cat ${around}/workspaces/two/gateway.json`, inner, around],
    ['the environment of a process', 'cat /proc/*/environ'],
    ['the environment of its own parent', 'cat /proc/1/environ; cat /proc/self/environ; env'],
    ['the files of the gateway by its process', `cat /proc/${process.pid}/root${outside}/gateway.json`],
    ['the network', `exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`],
    ['the secrets of the machine', `cat /etc/shadow && echo ${secret}`],
  ];
  const reached: string[] = [];
  for (const [what, command, root, hidden] of attempts)
    if ((await said(`{ ${command}; } 2>/dev/null`, root, hidden)).includes(secret)) reached.push(what);

  const abilities: readonly (readonly [string, string])[] = [
    ['workspace', 'echo kept > file && cat file'],
    ['programs', 'ls / >/dev/null && echo kept'],
    ['temporary files', 'echo kept > "$TMPDIR/x" && cat "$TMPDIR/x"'],
    ['a child process', 'sh -c "echo kept" | cat'],
  ];
  const works: string[] = [];
  for (const [what, command] of abilities) if ((await said(command)).includes('kept')) works.push(what);
  delete process.env['HOLDFAST_SANDBOX_PROOF'];
  server.close();
  return { checked: attempts.length, reached, works };
}
