/** Gateways beside each other: two on one PostgreSQL, one as a process that can be killed, and requests to any of them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startPostgres } from '@holdfast/testing/postgres';
import { expect, onTestFinished } from 'vitest';
import { configOf, startGateway, type GatewayOptions, type RunningGateway } from '../src/index.ts';
import { ROOT, type Json } from './harness.ts';

export interface Node {
  readonly url: string;
}

export interface NodeProcess extends Node {
  readonly child: ChildProcess;
}

export async function ask({ url }: Node, method: string, path: string, body?: object): Promise<Json> {
  const headers = { authorization: `Bearer ${ROOT}`, 'content-type': 'application/json' };
  const response = await fetch(url + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return response.status === 204 ? undefined : response.json();
}

export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-gateway-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Without sticky sessions: whatever is asked of one holds on the other. They and their server end with the test. */
export async function startPair(options: GatewayOptions = {}): Promise<readonly [RunningGateway, RunningGateway]> {
  const server = await startPostgres();
  onTestFinished(() => server[Symbol.asyncDispose]());
  const config = configOf({
    port: 0,
    host: '127.0.0.1',
    token: ROOT,
    log: 'silent',
    drainMs: 200,
    data: temporaryDirectory(),
    store: { kind: 'postgres', url: await server.createDatabase('pair') },
  });
  const [a, b] = [await startGateway(config, options), await startGateway(config, options)];
  onTestFinished(async () => void (await Promise.all([a.close(), b.close()])));
  return [a, b];
}

/** On SQLite in this directory. */
export async function startProcess(directory: string): Promise<NodeProcess> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('gateway-process.ts', import.meta.url))], {
    env: {
      ...process.env,
      HOLDFAST_STORE: 'sqlite',
      HOLDFAST_DATA: directory,
      HOLDFAST_PORT: '0',
      HOLDFAST_TOKEN: ROOT,
      HOLDFAST_DRAIN_MS: '200',
      HOLDFAST_CONFIG: '',
      HOLDFAST_LOG: 'error',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await expect.poll(() => said).toMatch(/^holdfast ready http/);
  return { url: said.trim().split(' ')[2] ?? '', child };
}
