/**
 * A session as a file: JSON lines, a head and then every entry of the log.
 *
 * 1. The file is the log: what can be read back from it is all that there is.
 * 2. It ends at the entry that was the last when it was asked for, with a line that says so: a file without it was cut off.
 */
import { formatCursor } from '@holdfast/protocol';
import { decodeEntry } from '@holdfast/session';
import type { LogRecord, Subscription } from '@holdfast/log';
import type { Context } from '../context.ts';
import { failed } from '../http/reply.ts';
import type { Route } from '../http/route.ts';
import type { Access } from './access.ts';

const encoder = new TextEncoder();

export function transferRoutes({ service, build, clock }: Context, access: Access): readonly Route[] {
  return [
    access.seen('get', '/v1/sessions/{sessionId}/export', {
      right: 'read',
      docs: {
        summary: 'The whole session as JSON lines',
        replies: { 200: { about: 'A head, the entries, an end', mediaType: 'application/x-ndjson' } },
      },
      handle: async ({ params: { sessionId } }) => {
        const found = await service.snapshot(sessionId);
        if (found.kind === 'fault') return failed(found.fault);
        const attached = await service.attach(sessionId, { seq: 0 });
        if (attached.kind === 'fault') return failed(attached.fault);
        const head = {
          format: 'holdfast-session',
          version: 1,
          build,
          sessionId,
          exportedAt: new Date(clock.now()).toISOString(),
        };
        const end = { end: true, seq: found.view.seq, cursor: formatCursor(found.cursor) };
        return {
          kind: 'bytes',
          mediaType: 'application/x-ndjson',
          chunks: lines(head, attached.subscription, found.view.seq, end),
          headers: { 'content-disposition': `attachment; filename="${sessionId}.holdfast.jsonl"` },
        };
      },
    }),
  ];
}

async function* lines(head: object, subscription: Subscription, upTo: number, end: object): AsyncGenerator<Uint8Array> {
  try {
    yield line(head);
    for (let seq = 0; seq < upTo;) {
      const delivery = await subscription.next();
      if (delivery.kind !== 'records') throw new Error(`The export ended early: ${delivery.kind}`);
      const wanted = delivery.records.filter((record) => record.seq <= upTo);
      yield Buffer.concat(wanted.map(entryLine));
      seq = delivery.records.at(-1)?.seq ?? upTo;
    }
    yield line(end);
  } finally {
    subscription.cancel();
  }
}

const line = (value: unknown): Uint8Array => encoder.encode(`${JSON.stringify(value)}\n`);
const entryLine = (record: LogRecord): Uint8Array => line(decodeEntry(record));
