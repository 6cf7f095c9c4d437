/**
 * A session as a file, and back: JSON lines, a head and then every entry of the log.
 *
 * 1. The file is the log: what can be read back from it is all that there is.
 * 2. It ends at the entry that was the last when it was asked for, with a line that says so, and that has the count and the checksum of
 *    what stands before it. A file that is not whole, or that no owner can have written, is not taken back (`session-file.ts`).
 * 3. An import is all or nothing, and a retry under its `Idempotency-Key` finds the session that it made; another file is refused.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { fault, FaultError, formatCursor, type Fault, type SessionId } from '@holdfast/protocol';
import { sessionSummarySchema } from '@holdfast/protocol/schema';
import { decodeEntry, type SessionService } from '@holdfast/session';
import type { LogRecord } from '@holdfast/log';
import type { Context } from '../context.ts';
import { hashOf } from '../auth/secret.ts';
import { created, failed, ok } from '../http/reply.ts';
import { post, type Route } from '../http/route.ts';
import { commandName, isFault, type Access } from './access.ts';
import { FILE_VERSION, readSessionFile } from './session-file.ts';

const encoder = new TextEncoder();

export function transferRoutes(
  { service, build, clock, config: { limits } }: Context,
  access: Access,
): readonly Route[] {
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
        const head = {
          format: 'holdfast-session',
          version: FILE_VERSION,
          build,
          sessionId,
          exportedAt: new Date(clock.now()).toISOString(),
        };
        const end = { end: true, seq: found.view.seq, cursor: formatCursor(found.cursor) };
        return {
          kind: 'bytes',
          mediaType: 'application/x-ndjson',
          chunks: lines(head, () => service.attach(sessionId, { seq: 0 }), found.view.seq, end),
          headers: { 'content-disposition': `attachment; filename="${sessionId}.holdfast.jsonl"` },
        };
      },
    }),

    post('/v1/import', {
      right: 'write',
      docs: {
        summary: 'A new session of an exported one: yours, with nothing running',
        replies: {
          201: { about: 'Created', schema: z.object({ session: sessionSummarySchema }) },
          200: { about: 'A retry', schema: z.object({ session: sessionSummarySchema }) },
        },
      },
      rawBody: true,
      handle: async ({ incoming, principal, header }) => {
        const name = commandName({}, header);
        if (isFault(name)) return failed(name);
        const bounds = {
          fileBytesMax: limits.blobBytesMax,
          lineBytesMax: 2 * limits.bodyBytesMax,
          depthMax: limits.bodyDepthMax,
        };
        const chunks = incoming.iterator({ destroyOnReturn: false });
        const file = await readSessionFile(chunks, bounds, () => clock.sleep(0));
        if (file.kind === 'fault') return failed(file.fault);
        // A retry has to name the same session.
        const sessionId = `s_${hashOf(`${principal.subject}/${name.clientId}`).slice(0, 24)}` as SessionId;
        const result = await service.import(
          {
            type: 'session-open',
            sessionId,
            clientId: name.clientId,
            author: principal.subject,
            imported: { version: file.version, entries: file.entries.length },
          },
          file.entries,
        );
        if (result.kind === 'fault')
          return failed(result.fault.kind === 'session-exists' ? anotherFile() : result.fault);
        const body = { session: result.summary };
        return result.created ? created(body) : ok(body);
      },
    }),
  ];
}

/** Rule 3. The session's id is made of the key. */
const anotherFile = (): Fault =>
  fault('client-id-reused', 'Another file was imported under this Idempotency-Key. Choose a new one.');

async function* lines(
  head: object,
  attach: () => ReturnType<SessionService['attach']>,
  upTo: number,
  end: object,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  const first = line(head);
  hash.update(first);
  yield first;
  const attached = await attach();
  if (attached.kind === 'fault') throw new FaultError(attached.fault);
  const { subscription } = attached;
  try {
    for (let seq = 0; seq < upTo;) {
      const delivery = await subscription.next();
      if (delivery.kind !== 'records') throw new Error(`The export ended early: ${delivery.kind}`);
      const wanted = delivery.records.filter((record) => record.seq <= upTo);
      const piece = Buffer.concat(wanted.map(entryLine));
      hash.update(piece);
      yield piece;
      seq = delivery.records.at(-1)?.seq ?? upTo;
    }
    yield line({ ...end, count: upTo, sha256: hash.digest('hex') });
  } finally {
    subscription.cancel();
  }
}

const line = (value: unknown): Uint8Array => encoder.encode(`${JSON.stringify(value)}\n`);
const entryLine = (record: LogRecord): Uint8Array => line(decodeEntry(record));
