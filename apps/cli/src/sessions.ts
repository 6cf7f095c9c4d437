/** `holdfast sessions`, `holdfast export`: what there is, and one of it as a file. */
import { createWriteStream, existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { once } from 'node:events';
import type { SessionSummary } from '@holdfast/client';
import { fault, FaultError } from '@holdfast/protocol/fault';
import { call, withClient, type ConnectOptions, type GatewayAddress } from './connect.ts';
import { badInput } from './failure.ts';
import { json, oneLine, table } from './text.ts';

const PAGE = 100;
const CHARS_MAX = 60;

export interface SessionsOptions extends ConnectOptions {
  readonly json: boolean;
  readonly limit: string;
}

export async function sessions(words: readonly string[], options: SessionsOptions): Promise<void> {
  const limit = Number(options.limit);
  if (!Number.isInteger(limit) || limit < 1)
    throw badInput(`--limit is '${options.limit}'; it is a whole number from 1.`);
  const found = await withClient(options, async (client) => {
    const rows: SessionSummary[] = [];
    for (let cursor: number | null | undefined; cursor !== null && rows.length < limit;) {
      const query = new URLSearchParams({ limit: String(Math.min(PAGE, limit - rows.length)) });
      if (words.length > 0) query.set('q', words.join(' '));
      if (cursor !== undefined) query.set('cursor', String(cursor));
      const page = (await call(client, 'GET', `/v1/sessions?${query.toString()}`)) as {
        readonly sessions: readonly SessionSummary[];
        readonly next: number | null;
      };
      rows.push(...page.sessions);
      cursor = page.next;
    }
    return rows;
  });
  if (options.json) for (const row of found) process.stdout.write(json(row));
  else if (found.length > 0)
    process.stdout.write(table([['SESSION', 'CHANGED', 'STATE', 'TITLE'], ...found.map(rowOf)]));
}

function rowOf({ sessionId, updatedAt, state, title, preview, unread }: SessionSummary): readonly string[] {
  const name = oneLine(title ?? preview, CHARS_MAX);
  return [sessionId, updatedAt.slice(0, 16).replace('T', ' '), state, unread ? `${name} (unread)` : name];
}

// ── export ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** To a file, which appears when it is whole, or to stdout. */
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
      await rm(draft, { force: true });
      throw error;
    }
  });
}

async function write(
  session: string,
  { url, credentials }: GatewayAddress,
  target: NodeJS.WritableStream,
): Promise<void> {
  const token = credentials.token();
  const response = await fetch(`${url}/v1/sessions/${encodeURIComponent(session)}/export`, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  if (!response.ok || response.body === null)
    throw new FaultError(fault('internal', `The gateway answered the export with ${response.status}. Try again.`));
  let last = Buffer.alloc(0);
  for await (const chunk of response.body) {
    if (!target.write(chunk)) await once(target, 'drain');
    last = Buffer.concat([last, chunk]).subarray(-END_BYTES);
  }
  // The file says itself whether it is whole.
  if (!/\n\{"end":true,[^\n]*\}\n$/.test(last.toString()))
    throw new FaultError(fault('disconnected', 'The export was cut off in the middle. Try again.'));
}

const END_BYTES = 256;
