/**
 * `holdfast export`, `holdfast import`: a session as a file, and a file as a session.
 *
 * 1. A file appears when it is whole. It says itself whether it is: its last line is the end.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
import {
  faultOfResponse,
  openWithCredentials,
  type ByteStreamRequest,
  type Connection,
  type SafeByteStream,
  type SessionSummary,
} from '@holdfast/client';
import { fault, FaultError } from '@holdfast/protocol/fault';
import { call, withClient, type ConnectOptions, type GatewayAddress } from './connect.ts';
import { badInput } from './failure.ts';

const END_BYTES = 512;

/** To a file, or to stdout. */
export async function exportSession(session: string, file: string | undefined, options: ConnectOptions): Promise<void> {
  if (file !== undefined && existsSync(file)) throw badInput(`${file} exists. Name another file, or remove it first.`);
  await withClient(options, async (client, gateway) => {
    await call(client, 'GET', `/v1/sessions/${encodeURIComponent(session)}`);
    if (file === undefined) return write(session, gateway, process.stdout);
    const draft = `${file}.part`;
    const target = createWriteStream(draft, { mode: 0o600 });
    try {
      await write(session, gateway, target);
      target.end();
      await once(target, 'close');
      await rename(draft, file);
    } catch (error) {
      target.destroy();
      await rm(draft, { force: true });
      throw error;
    }
  });
}

async function write(session: string, gateway: GatewayAddress, target: NodeJS.WritableStream): Promise<void> {
  await using connection = gateway.transport().open();
  const path = `/v1/sessions/${encodeURIComponent(session)}/export`;
  const body = await ask(connection, gateway, path);
  let last = Buffer.alloc(0);
  for await (const chunk of body) {
    if (!target.write(chunk)) await once(target, 'drain');
    last = Buffer.concat([last, chunk]).subarray(-END_BYTES);
  }
  if (!/\n\{"end":true,[^\n]*\}\n$/.test(last.toString()))
    throw new FaultError(fault('disconnected', 'The export was cut off in the middle. Try again.'));
}

export async function importSession(file: string, options: ConnectOptions): Promise<void> {
  const bytes = await readFile(file);
  await withClient(options, async (client, gateway) => {
    await call(client, 'GET', '/v1/me');
    await using connection = gateway.transport().open();
    const headers = { 'content-type': 'application/x-ndjson', 'idempotency-key': randomUUID() };
    const answer = await ask(connection, gateway, '/v1/import', { method: 'POST', headers, body: bytes });
    const { session } = JSON.parse(await answer.text()) as { readonly session: SessionSummary };
    process.stdout.write(`${session.sessionId}\n`);
  });
}

/** For bodies that are no JSON. @throws FaultError what the gateway says against it */
async function ask(
  connection: Connection,
  { url, credentials }: GatewayAddress,
  path: string,
  request: Omit<ByteStreamRequest, 'url'> = {},
): Promise<SafeByteStream> {
  const response = await openWithCredentials(connection, { ...request, url: url + path }, credentials);
  if (response.status < 300) return response.body;
  throw new FaultError(await faultOfResponse(response));
}
