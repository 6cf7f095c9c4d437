/**
 * `holdfast tail SESSION`: entries as JSON lines, each with the cursor to go on from. It follows through lost connections until it
 * is stopped, or to the head with `--no-follow`.
 */
import { EventStreamClient, createCredentials } from '@holdfast/client';
import { nodeTransport } from '@holdfast/client/node';
import { fault, FaultError, parseCursor, parseId, type SessionId } from '@holdfast/protocol';
import { call, findGateway, withClient, type ConnectOptions } from './connect.ts';

export async function tail(
  session: string,
  options: ConnectOptions & { readonly after: string; readonly follow: boolean },
): Promise<void> {
  const sessionId = parseId<SessionId>(session);
  const from = parseCursor(options.after);
  if (sessionId === undefined) throw new FaultError(fault('session-not-found', `"${session}" is no session id.`));
  if (from === undefined)
    throw new FaultError(
      fault(
        'invalid-cursor',
        `--after is "${options.after}"; a cursor looks like 12.0a1b2c3d, and 0 is the beginning.`,
      ),
    );
  const head = options.follow ? Number.POSITIVE_INFINITY : await headOf(sessionId, options);
  if (from.seq >= head) return;
  await follow(sessionId, options, head);
}

async function headOf(sessionId: SessionId, options: ConnectOptions): Promise<number> {
  let seq = 0;
  await withClient(options, async (client) => {
    ({ seq } = (await call(client, 'GET', `/v1/sessions/${sessionId}`)) as { readonly seq: number });
  });
  return seq;
}

async function follow(
  sessionId: SessionId,
  options: ConnectOptions & { readonly after: string },
  head: number,
): Promise<void> {
  const { url, token } = await findGateway(options);
  const end = Promise.withResolvers<void>();
  const stream = new EventStreamClient({
    transport: nodeTransport(),
    baseUrl: url,
    ...(token === undefined ? {} : { credentials: createCredentials({ token }) }),
    target: { kind: 'session', sessionId, place: options.after },
    handlers: {
      entry: (_session, entry, cursor) => {
        process.stdout.write(`${JSON.stringify({ cursor, ...entry })}\n`);
        if (entry.seq >= head) end.resolve();
      },
      snapshot: ({ reason }) =>
        end.reject(
          new FaultError(
            fault(
              'invalid-cursor',
              `The cursor ${options.after} cannot be served (${reason ?? 'unknown'}). Begin with --after 0.`,
            ),
          ),
        ),
      state: (state) => {
        if (state.kind === 'idle' && state.fault !== undefined) end.reject(new FaultError(state.fault));
        if (state.kind === 'waiting')
          process.stderr.write(`${state.fault.detail} Trying again in ${Math.round(state.delayMs / 100) / 10} s.\n`);
      },
    },
  });
  process.once('SIGINT', () => end.resolve());
  stream.start();
  try {
    await end.promise;
  } finally {
    await stream.close();
  }
}
