/**
 * A session as a file, and back: JSON lines, a head and then every entry of the log.
 *
 * 1. The file is the log: what can be read back from it is all that there is.
 * 2. It ends at the entry that was the last when it was asked for, with a line that says so: a file without it was cut off, and is
 *    not taken back.
 * 3. An import is all or nothing, and a retry under its `Idempotency-Key` finds the session that it made; another file is refused.
 */
import { z } from 'zod';
import { fault, FaultError, formatCursor, type EntryBody, type Fault, type SessionId } from '@holdfast/protocol';
import { entryBodySchema, sessionSummarySchema } from '@holdfast/protocol/schema';
import { decodeEntry, type SessionService } from '@holdfast/session';
import type { LogRecord } from '@holdfast/log';
import type { Context } from '../context.ts';
import { hashOf } from '../auth/secret.ts';
import { parseJson, readBytes, tooLarge } from '../http/body.ts';
import { created, failed, ok } from '../http/reply.ts';
import { post, type Route } from '../http/route.ts';
import { commandName, isFault, type Access } from './access.ts';

const encoder = new TextEncoder();
const LINE_FEED = 0x0a;

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
          version: 1,
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
        const bytes = await readBytes(incoming, limits.blobBytesMax);
        if (bytes === undefined) return failed(tooLarge(limits.blobBytesMax));
        const file = readFile(bytes, limits.bodyDepthMax);
        if (file.kind === 'fault') return failed(file.fault);
        // A retry has to name the same session.
        const sessionId = `s_${hashOf(`${principal.subject}/${name.clientId}`).slice(0, 24)}` as SessionId;
        const result = await service.import(
          { type: 'session-open', sessionId, clientId: name.clientId, author: principal.subject },
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

interface Line {
  readonly format?: unknown;
  readonly version?: unknown;
  readonly end?: unknown;
}

type ReadFile =
  | { readonly kind: 'entries'; readonly entries: readonly EntryBody[] }
  | { readonly kind: 'fault'; readonly fault: Fault };

/** Rule 2. */
function readFile(bytes: Buffer, depthMax: number): ReadFile {
  const lines = linesOf(bytes);
  const entries: EntryBody[] = [];
  let isWhole = false;
  for (const [index, line] of lines.entries()) {
    const parsed = parseJson(line, depthMax);
    if (parsed.kind === 'fault') return malformed(index, parsed.fault.detail);
    const value = parsed.value as Line | null;
    if (index === 0) {
      if (value?.format !== 'holdfast-session' || value.version !== 1)
        return malformed(index, 'It is not the head of a session of version 1.');
    } else if (index === lines.length - 1 && value?.end === true) {
      isWhole = true;
    } else {
      const entry = entryBodySchema.safeParse(value);
      if (!entry.success) return malformed(index, entry.error.issues[0]?.message ?? 'It is no entry.');
      entries.push(entry.data);
    }
  }
  return isWhole
    ? { kind: 'entries', entries }
    : malformed(lines.length - 1, 'The file was cut off: its end is missing. Export it again.');
}

function linesOf(bytes: Buffer): readonly Buffer[] {
  const lines: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(LINE_FEED, at);
    const to = end < 0 ? bytes.length : end;
    if (to > at) lines.push(bytes.subarray(at, to));
    at = to + 1;
  }
  return lines;
}

const malformed = (index: number, why: string): ReadFile => ({
  kind: 'fault',
  fault: fault('invalid-request', `Line ${index + 1} of the file: ${why}`),
});

/** Rule 3. The session's id is made of the key. */
const anotherFile = (): Fault =>
  fault('client-id-reused', 'Another file was imported under this Idempotency-Key. Choose a new one.');

async function* lines(
  head: object,
  attach: () => ReturnType<SessionService['attach']>,
  upTo: number,
  end: object,
): AsyncGenerator<Uint8Array> {
  yield line(head);
  const attached = await attach();
  if (attached.kind === 'fault') throw new FaultError(attached.fault);
  const { subscription } = attached;
  try {
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
