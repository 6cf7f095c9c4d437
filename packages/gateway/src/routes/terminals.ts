/**
 * Terminals: open one, read it, say how far, type, resize, end it. All of them need an admin, because a shell of the user that runs the
 * gateway reads and changes whatever the gateway can.
 *
 * 1. Input is the body as it is: a terminal knows bytes, and what is typed need not be UTF-8.
 * 2. What may be repeated says so by itself: opening by its client id, input and confirmations by their offsets.
 */
import { z } from 'zod';
import { clientIdSchema } from '@holdfast/protocol/schema';
import type { Context } from '../context.ts';
import { readBytes, tooLarge } from '../http/body.ts';
import { created, empty, failed, ok } from '../http/reply.ts';
import { del, get, post, type Call, type Route } from '../http/route.ts';
import { isFault } from './access.ts';
import type { Terminal } from '../terminal/terminal.ts';

/** Of a stream's head. */
const READER = 'holdfast-reader';
const OFFSET = 'holdfast-offset';
const INPUT_END = 'holdfast-input-end';
const WINDOW = 'holdfast-window';
/** What a page of another origin has to see of it. */
export const STREAM_HEAD: readonly string[] = [READER, OFFSET, INPUT_END, WINDOW];

const INPUT_BYTES_MAX = 65_536;
const COMMAND_PARTS_MAX = 256;

const side = z.int().min(1).max(1_000);
const size = { cols: side, rows: side };
const offset = z.int().min(0);
const reader = z.int().min(1);
/** In a query, where everything is text. */
const digits = z.stringFormat('digits', /^\d{1,15}$/).transform(Number);

const statusSchema = z
  .object({
    terminalId: z.string(),
    state: z.enum(['running', 'exited']),
    exit: z.object({ exitCode: z.int().nullable(), signal: z.string().nullable() }).nullable(),
    command: z.array(z.string()),
    startedAt: z.iso.datetime(),
    ...size,
    reader: z.int(),
    start: offset,
    confirmed: offset,
    end: offset,
    inputEnd: offset,
    paused: z.boolean(),
    windowBytes: z.int(),
  })
  .meta({ id: 'Terminal' });

const openBody = z
  .strictObject({
    clientId: clientIdSchema.exactOptional(),
    command: z.array(z.string().max(32_768)).min(1).max(COMMAND_PARTS_MAX).exactOptional(),
    cols: side.default(80),
    rows: side.default(24),
  })
  .meta({ id: 'OpenTerminal' });
const resizeBody = z.strictObject({ reader, ...size }).meta({ id: 'ResizeTerminal' });
const confirmBody = z.strictObject({ reader, offset }).meta({ id: 'ConfirmTerminal' });

export function terminalRoutes({ terminals }: Context): readonly Route[] {
  type At = Call<{ readonly terminalId: string }, never, never>;
  const found = ({ principal, params }: Pick<At, 'principal' | 'params'>) =>
    terminals.find(principal, params.terminalId);
  const said = (terminal: Terminal, refusal: ReturnType<Terminal['confirm']>) =>
    refusal === undefined ? ok(terminal.status()) : failed(refusal);

  return [
    post('/v1/terminals', {
      right: 'admin',
      docs: {
        summary: 'Open a terminal: a shell, or a command, on a pty of this node',
        replies: {
          201: { about: 'It runs', schema: statusSchema },
          200: { about: 'The one that was opened with this client id before', schema: statusSchema },
        },
      },
      body: openBody,
      handle: ({ principal, body }) => {
        const opened = terminals.open(principal, body);
        if (opened.kind === 'fault') return Promise.resolve(failed(opened.fault));
        return Promise.resolve((opened.isNew ? created : ok)(opened.terminal.status()));
      },
    }),

    get('/v1/terminals', {
      right: 'admin',
      docs: {
        summary: 'Your terminals on this node',
        replies: { 200: { about: 'Terminals', schema: z.object({ terminals: z.array(statusSchema) }) } },
      },
      handle: ({ principal }) => {
        const listed = terminals.list(principal);
        return Promise.resolve(isFault(listed) ? failed(listed) : ok({ terminals: listed }));
      },
    }),

    get('/v1/terminals/{terminalId}', {
      right: 'admin',
      docs: {
        summary: 'How a terminal stands: what of its output is here, and its exit',
        replies: { 200: { about: 'Its state', schema: statusSchema } },
      },
      handle: (call) => {
        const at = found(call);
        return Promise.resolve(at.kind === 'fault' ? failed(at.fault) : ok(at.terminal.status()));
      },
    }),

    get('/v1/terminals/{terminalId}/stream', {
      right: 'admin',
      docs: {
        summary: 'The output from a byte offset on. Without a reader: a new one, which takes over',
        replies: {
          200: {
            about: `Bytes. The head says which reader this is (${READER}), where it begins (${OFFSET}) and how much input there was (${INPUT_END}) and how much may be unconfirmed (${WINDOW})`,
            mediaType: 'application/octet-stream',
          },
        },
      },
      query: z.object({ offset: digits.exactOptional(), reader: digits.exactOptional() }),
      handle: (call) => {
        const at = found(call);
        if (at.kind === 'fault') return Promise.resolve(failed(at.fault));
        const attached = at.terminal.attach(call.principal, call.query);
        if (attached.kind === 'fault') return Promise.resolve(failed(attached.fault));
        const headers = {
          [READER]: String(attached.reader),
          [OFFSET]: String(attached.offset),
          [INPUT_END]: String(attached.inputEnd),
          [WINDOW]: String(attached.windowBytes),
        };
        return Promise.resolve({
          kind: 'stream',
          mediaType: 'application/octet-stream',
          headers,
          open: (outgoing) => attached.open(outgoing),
        });
      },
    }),

    post('/v1/terminals/{terminalId}/ack', {
      right: 'admin',
      docs: {
        summary: 'The reader has everything before an offset: it is let go of',
        replies: { 200: { about: 'Noted', schema: statusSchema } },
      },
      body: confirmBody,
      handle: (call) => {
        const at = found(call);
        if (at.kind === 'fault') return Promise.resolve(failed(at.fault));
        return Promise.resolve(said(at.terminal, at.terminal.confirm(call.body.reader, call.body.offset)));
      },
    }),

    post('/v1/terminals/{terminalId}/input', {
      right: 'admin',
      docs: {
        summary:
          'Type bytes. `offset` is that of the first of them in all input so far; what was typed before is not typed again',
        replies: { 200: { about: 'Typed', schema: statusSchema } },
      },
      query: z.object({ offset: digits, reader: digits }),
      rawBody: true,
      handle: async (call) => {
        const bytes = await readBytes(call.incoming, INPUT_BYTES_MAX);
        if (bytes === undefined) return failed(tooLarge(INPUT_BYTES_MAX));
        const at = found(call);
        if (at.kind === 'fault') return failed(at.fault);
        return said(at.terminal, at.terminal.input(call.query.reader, call.query.offset, bytes));
      },
    }),

    post('/v1/terminals/{terminalId}/resize', {
      right: 'admin',
      docs: { summary: 'Give it another size', replies: { 200: { about: 'Done', schema: statusSchema } } },
      body: resizeBody,
      handle: (call) => {
        const at = found(call);
        if (at.kind === 'fault') return Promise.resolve(failed(at.fault));
        return Promise.resolve(said(at.terminal, at.terminal.resize(call.body.reader, call.body)));
      },
    }),

    del('/v1/terminals/{terminalId}', {
      right: 'admin',
      docs: { summary: 'End a terminal: SIGHUP, then SIGKILL', replies: { 204: { about: 'It is ending' } } },
      handle: (call) => {
        const at = found(call);
        if (at.kind === 'fault') return Promise.resolve(failed(at.fault));
        at.terminal.end(true);
        return Promise.resolve(empty);
      },
    }),
  ];
}
