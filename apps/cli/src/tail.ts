/**
 * `holdfast tail SESSION`: a session's entries as they come, each with the cursor to go on from. It follows through lost
 * connections until it is stopped; with `--no-follow` it ends at the head.
 *
 * 1. What was printed is exactly what was read: no entry twice, none left out. Where that cannot be kept it fails.
 */
import { EventStreamClient } from '@holdfast/client';
import { parseCursor, START } from '@holdfast/protocol/cursor';
import type { Entry } from '@holdfast/protocol/entry';
import { fault, FaultError } from '@holdfast/protocol/fault';
import { parseId, type SessionId } from '@holdfast/protocol/ids';
import { call, withClient, type ConnectOptions, type GatewayAddress } from './connect.ts';
import { badInput, EXIT } from './failure.ts';
import { json, oneLine } from './text.ts';

export interface TailOptions extends ConnectOptions {
  readonly after: string;
  readonly follow: boolean;
  readonly json: boolean;
}

const LINE_CHARS = 160;

export async function tail(session: string, options: TailOptions): Promise<void> {
  const { after, follow } = options;
  const sessionId = parseId<SessionId>(session);
  const from = parseCursor(after);
  if (sessionId === undefined)
    throw badInput(`'${oneLine(session, 80)}' is no session's id. "holdfast sessions" lists them.`);
  if (from === undefined)
    throw badInput(
      `--after is '${oneLine(after, 80)}', which is no cursor. One looks like 12.0a1b2c3d; 0 is the beginning.`,
    );
  await withClient(options, async (client, gateway) => {
    // Fails at once where there is none.
    await call(client, 'GET', `/v1/sessions/${sessionId}`);
    if (follow) return print(sessionId, gateway, options, Number.POSITIVE_INFINITY);
    const head = await headOf(sessionId, gateway);
    const { seq } = parseCursor(head) ?? START;
    if (after === head) return;
    if (from.seq >= seq) throw unserved('it is of another history'); // Rule 1: no entry follows that would tell.
    await print(sessionId, gateway, options, seq);
  });
}

/** The cursor of the last entry that there is now. */
async function headOf(sessionId: SessionId, gateway: GatewayAddress): Promise<string> {
  const head = Promise.withResolvers<string>();
  const stream = new EventStreamClient({
    transport: gateway.transport(),
    baseUrl: gateway.url,
    credentials: gateway.credentials,
    target: { kind: 'session', sessionId, place: null },
    handlers: {
      snapshot: ({ cursor }) => head.resolve(cursor),
      entry: () => {},
      gone: (_sessionId, why) => head.reject(new FaultError(why)),
      state: (state) => {
        if (state.kind === 'idle' && state.fault !== undefined) head.reject(new FaultError(state.fault));
      },
      error: head.reject,
    },
  });
  stream.start();
  try {
    return await head.promise;
  } finally {
    await stream.close();
  }
}

async function print(sessionId: SessionId, gateway: GatewayAddress, options: TailOptions, upTo: number): Promise<void> {
  const end = Promise.withResolvers<void>();
  const stream = new EventStreamClient({
    transport: gateway.transport(),
    baseUrl: gateway.url,
    credentials: gateway.credentials,
    target: { kind: 'session', sessionId, place: options.after },
    handlers: {
      entry: (_sessionId, entry, cursor) => {
        if (entry.seq > upTo) return;
        process.stdout.write(options.json ? json({ cursor, ...entry }) : lineOf(entry, cursor));
        if (entry.seq === upTo) end.resolve();
      },
      snapshot: ({ reason = 'a gap' }) => end.reject(unserved(reason)), // Rule 1.
      gone: (_sessionId, why) => end.reject(new FaultError(why)),
      state: (state) => {
        if (state.kind === 'idle' && state.fault !== undefined) end.reject(new FaultError(state.fault));
        if (state.kind === 'waiting')
          process.stderr.write(`[${state.fault.detail} Trying again in ${(state.delayMs / 1_000).toFixed(1)} s.]\n`);
      },
      error: end.reject,
    },
  });
  const interrupt = (): void => {
    process.exitCode = EXIT.interrupted;
    end.resolve();
  };
  process.once('SIGINT', interrupt);
  stream.start();
  try {
    await end.promise;
  } finally {
    process.off('SIGINT', interrupt);
    await stream.close();
  }
}

const unserved = (reason: string): FaultError =>
  new FaultError(
    fault(
      'invalid-cursor',
      `The entries after this cursor cannot be had (${reason}): the log was restored, or they were dropped for good. Begin anew with --after 0.`,
    ),
  );

function lineOf({ seq: _seq, at, type, ...rest }: Entry, cursor: string): string {
  const what = 'text' in rest && Object.keys(rest).every((key) => /^(text|.*Id)$/.test(key)) ? rest.text : rest;
  const width = process.stdout.isTTY ? Math.max(60, process.stdout.columns) : LINE_CHARS;
  const front = `${cursor}  ${at.slice(11, 23)}  ${type.padEnd(14)}  `;
  return `${front}${oneLine(JSON.stringify(what), width - front.length)}\n`;
}
