/** `holdfast sessions`: what there is. */
import type { SessionSummary } from '@holdfast/client';
import { call, withClient, type ConnectOptions } from './connect.ts';
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
