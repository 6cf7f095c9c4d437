/** `bin/holdfast.mjs` on a Node that is too old, played by the one that is there. */
import { mkdir, writeFile, chmod, copyFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect, test } from 'vitest';
import { BIN, environment, Running, serve, temporaryDir, type Served } from './holdfast.ts';

/** A Node that says that it is 20 to the launcher, and only to it. */
async function oldNode(dir: string): Promise<string> {
  const lie = path.join(dir, 'old.cjs');
  await writeFile(
    lie,
    `if (process.env.NODE_OF_HOLDFAST === undefined) Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } });`,
  );
  const file = path.join(dir, 'node');
  await writeFile(file, `#!/bin/sh\nexec "${process.execPath}" --require "${lie}" "$@"\n`);
  await chmod(file, 0o755);
  return file;
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** The gateway's own process, which is not the one that was started. */
async function pidOf({ url, token }: Served, data: string): Promise<number> {
  const { readLocalGateway } = await import('@holdfast/gateway/local');
  const local = await readLocalGateway(data);
  expect(local).toMatchObject({ url });
  expect(token).not.toBe('');
  return local!.pid;
}

test('the Node among the packages takes over; a signal goes on to it, and its end is ours', async () => {
  await using dir = await temporaryDir();
  await using gateway = await serve(dir.path, {}, await oldNode(dir.path));
  expect(await pidOf(gateway, dir.path)).not.toBe(gateway.child.pid);
  expect((await fetch(`${gateway.url}/readyz`)).status).toBe(200);
  expect(await gateway.end('SIGTERM')).toBe(0);
});

test('R33: kill -9 of what was started kills the gateway too, at once: none is left with the lock', async () => {
  await using dir = await temporaryDir();
  const gateway = await serve(dir.path, {}, await oldNode(dir.path));
  const pid = await pidOf(gateway, dir.path);
  expect(await gateway.end('SIGKILL')).toBe('SIGKILL');
  await expect.poll(() => isAlive(pid)).toBe(false);
  await using again = await serve(dir.path);
  expect((await fetch(`${again.url}/readyz`)).status).toBe(200);
});

test('R33: a signal to the whole process group, as supervisors send it, is one asking: what runs may finish', async () => {
  await using dir = await temporaryDir();
  const child = spawn(await oldNode(dir.path), [BIN, 'serve'], {
    env: environment(dir.path, { HOLDFAST_DRAIN_MS: '1000' }),
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  await using talk = new Running(['chat', '--once', '/scene long rate=20'], environment(dir.path));
  await talk.prints('out', /\S/);
  process.kill(-child.pid!, 'SIGTERM');
  expect(await once(child, 'close')).toEqual([0, null]);
});

test('where there is no newer Node, the cure is said', async () => {
  await using dir = await temporaryDir();
  // No Node beside it, as there is in the project.
  await using elsewhere = await temporaryDir();
  const alone = path.join(elsewhere.path, 'bin');
  await mkdir(alone, { recursive: true });
  await copyFile(BIN, path.join(alone, 'holdfast.mjs'));
  const child = spawn(await oldNode(dir.path), [path.join(alone, 'holdfast.mjs'), 'serve'], {
    env: environment(dir.path),
  });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [code] = (await once(child, 'close')) as [number];
  expect(code).toBe(1);
  expect(err).toMatch(/Node 20\.1\.0.*24/);
});
