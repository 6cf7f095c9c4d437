import { FaultError, type Fault, type FaultKind } from '@holdfast/protocol/fault';

import {
  openByteStream,
  type ByteStreamRequest,
  type ByteStreamResponse,
  type SafeByteStream,
} from '../byte-stream.ts';
import { createCredentials } from '../credentials.ts';
import type { Clock } from '../ports.ts';
import { streamPostWithRetry } from '../post.ts';
import type { OwnedConnection, Transport } from '../transport.ts';
import { equal, holds } from './expect.ts';
import { patternHolds } from './pattern.ts';

/** What the server has seen of the requests with one `key`. */
export interface Facts {
  readonly requests: number;
  /** Responses that ended because their socket did. */
  readonly closed: number;
  readonly ended: number;
  readonly sentBytes: number;
  readonly ports: readonly number[];
  readonly authorizations: readonly string[];
}

export interface SuiteServer {
  /** Serves `/never`, `/head`, `/bytes`, `/script`, `/guarded`, `/status` and `/facts`. */
  readonly origin: string;
  /** An address where nobody listens. */
  readonly deadUrl: string;
}

interface Setting extends SuiteServer {
  readonly transport: Transport;
  readonly clock: Clock;
  /** What the kernel and the platform may hold of a body that nobody reads, besides our queue. */
  readonly platformBytesMax: number;
  /** Unique for each run of each case. */
  readonly key: string;
}

export interface ByteStreamCase {
  readonly name: string;
  run(setting: Setting): Promise<void>;
}

const MIB = 1024 * 1024;

/** Each is run as a test of this name, wherever the suite runs. */
const test = (name: string, run: ByteStreamCase['run']): ByteStreamCase => ({ name, run });

export const byteStreamCases: readonly ByteStreamCase[] = [
  test('A1: opening resolves once with status, headers and a body', async (setting) => {
    await using connection = setting.transport.open();
    const { status, headers, body } = await open(setting, connection, '/bytes', { bytes: 100_000 });
    equal(status, 200, 'status');
    equal(headers.get('content-type'), 'application/octet-stream', 'a header');
    equal(await readPattern(body), 100_000, 'bytes');
    equal((await open(setting, connection, '/status', { status: 503 })).status, 503, 'status of an error');
  }),
  test('A1: a body goes out whole with every method, and the connection is good for the next request', async (setting) => {
    await using connection = setting.transport.open();
    const headers = { authorization: 'Bearer good' };
    for (const method of ['DELETE', 'POST', 'PATCH', 'PUT', 'DELETE']) {
      const sent = `${method} é`;
      const request = { url: at(setting, '/guarded'), method, headers, body: sent };
      const { status, body } = await openByteStream(connection, request);
      equal(`${status} ${await body.text()}`, `200 ${sent}`, 'answer');
    }
  }),
  test('A2: opening on a closed connection rejects with cancelled and sends nothing', async (setting) => {
    const connection = setting.transport.open();
    connection.close();
    equal(await faultOf(open(setting, connection, '/bytes')), 'cancelled', 'fault');
    equal((await facts(setting)).requests, 0, 'requests that the server saw');
  }),
  test('A2: closing at any instant of the open rejects with cancelled or gives a body that ends so', async (setting) => {
    for (let instant = 0; instant < 30; instant++) {
      const connection = setting.transport.open();
      const opened = open(setting, connection, '/head');
      for (let i = 0; i < instant; i++) await (i < 20 ? undefined : tick(setting, 1));
      connection.close();
      const kind = await faultOf(opened.then(({ body }) => readPattern(body)));
      equal(kind, 'cancelled', `fault at instant ${instant}`);
    }
  }),
  test('A3: a waiter that comes after the failure gets the real fault, and nobody an unhandled rejection', async (setting) => {
    await using connection = setting.transport.open();
    const refused = openByteStream(connection, { url: setting.deadUrl });
    let settled = false;
    refused.catch(() => (settled = true));
    while (!settled) await tick(setting, 5);
    equal(await faultOf(refused), 'disconnected', 'fault');
  }),
  test('A3: a body that was over before it is read gives every byte and its real end', async (setting) => {
    await using connection = setting.transport.open();
    const { body } = await open(setting, connection, '/bytes', { bytes: 50_000, end: 'hang' });
    while (body.bufferedBytes < 50_000) await tick(setting, 5);
    await (await open(setting, setting.transport.open(), '/cut')).body.text();
    await facts(setting, 'closed');
    await tick(setting, 20);
    const { bytes, kind } = await readToFault(body);
    equal(bytes, 50_000, 'bytes');
    equal(kind, 'disconnected', 'fault');
  }),
  test('A4: cancel before headers closes the socket at once', async (setting) => {
    const connection = setting.transport.open();
    const opened = open(setting, connection, '/never');
    await facts(setting, 'requests');
    const before = setting.clock.now();
    connection.close();
    equal(await faultOf(opened), 'cancelled', 'fault');
    await facts(setting, 'closed');
    holds(setting.clock.now() - before < 2000, 'the server sees it within a round trip');
  }),
  test('A4: a signal ends one request and leaves its connection to others', async (setting) => {
    await using connection = setting.transport.open();
    const stop = new AbortController();
    const opened = open(setting, connection, '/never', {}, { signal: stop.signal });
    await facts(setting, 'requests');
    stop.abort();
    equal(await faultOf(opened), 'cancelled', 'fault');
    await facts(setting, 'closed');
    const { body } = await open(setting, connection, '/bytes', { bytes: 10 });
    equal(await readPattern(body), 10, 'bytes of the next request');
    equal(
      await faultOf(open(setting, connection, '/bytes', {}, { signal: stop.signal })),
      'cancelled',
      'aborted before',
    );
  }),
  test('A5: break, return and throw end the request', async (setting) => {
    const leave: ((body: SafeByteStream) => Promise<void>)[] = [
      async (body) => {
        for await (const _ of body) break;
      },
      async (body) => {
        for await (const _ of body.lines()) throw new Error('the reader failed');
      },
      async (body) => void (await body[Symbol.asyncIterator]().return?.()),
      async (body) => {
        for await (const _ of body.events()) break;
      },
    ];
    for (const [index, by] of leave.entries()) {
      await using connection = setting.transport.open();
      const { body } = await script(setting, connection, ['data: 1\n\n', 'data: 2\n\n'], 'hang');
      await by(body).catch(() => {});
      await facts(setting, 'closed', index + 1);
    }
  }),
  test('A5: a reader that never waits: false and a throw end the request, and the throw is its caller’s', async (setting) => {
    for (const [index, leaves] of [false, true].entries()) {
      await using connection = setting.transport.open();
      const { body } = await script(setting, connection, ['data: 1\n\n', 'data: 2\n\n'], 'hang');
      let chunks = 0;
      const reading = body.each(() => {
        chunks++;
        if (leaves) throw new RangeError('the reader failed');
        return false;
      });
      const ending = await reading.then(() => 'resolved', String);
      equal(ending, leaves ? 'RangeError: the reader failed' : 'resolved', 'how it ended');
      equal(chunks, 1, 'chunks');
      await facts(setting, 'closed', index + 1);
    }
  }),
  test('A6: a reader that never waits gets every byte as it comes, and then the end', async (setting) => {
    await using connection = setting.transport.open();
    const { body } = await open(setting, connection, '/bytes', { bytes: 300_000 });
    equal(await eachOfPattern(body), 300_000, 'bytes');
    equal(await faultOf(body.each(() => true)), 'none', 'a second reader finds the end');
  }),
  test('A6: a reader that never waits and comes late gets every accepted byte, and then the fault, once', async (setting) => {
    await using connection = setting.transport.open();
    const { body } = await open(setting, connection, '/bytes', { bytes: 300_000, end: 'hang' });
    while (body.bufferedBytes < 300_000) await tick(setting, 5);
    connection.close();
    let bytes = 0;
    const reading = body.each((chunk) => (bytes += chunk.length) > 0);
    equal(await faultOf(reading), 'cancelled', 'fault');
    equal(bytes, 300_000, 'bytes');
    equal(body.bufferedBytes, 0, 'what waits');
    equal(await faultOf(body.each(() => true)), 'none', 'a second reader finds the end');
  }),
  test('A6: a connection closed in mid-stream ends the iterator after every accepted byte', async (setting) => {
    const connection = setting.transport.open();
    const { body } = await open(setting, connection, '/bytes', { bytes: 900_000, end: 'hang' });
    while (body.bufferedBytes < 900_000) await tick(setting, 5);
    connection.close();
    const { bytes, kind } = await readToFault(body);
    equal(bytes, 900_000, 'bytes');
    equal(kind, 'cancelled', 'fault');
    await facts(setting, 'closed');
  }),
  test('A6: cancelling by the reader drops what waits and wakes a pending read', async (setting) => {
    await using connection = setting.transport.open();
    const { body } = await open(setting, connection, '/head');
    const pending = readToFault(body);
    body.cancel();
    equal((await pending).kind, 'cancelled', 'fault');
    equal(await readPattern(body), 0, 'bytes afterwards');
    await facts(setting, 'closed');
  }),
  test('A7: a reader that does not read stops the sender, and loses nothing', async (setting) => {
    const total = setting.platformBytesMax + 32 * MIB;
    await using connection = setting.transport.open();
    const { body } = await open(setting, connection, '/bytes', { bytes: total });
    const still = await standstill(setting);
    holds(still < setting.platformBytesMax, `the server stands still at ${still} bytes`);
    holds(body.bufferedBytes > MIB, 'the queue is filled eagerly up to the high mark');
    holds(body.bufferedBytes < 3 * MIB, `the overshoot is one chunk: ${body.bufferedBytes}`);
    equal(await readPattern(body), total, 'bytes');
    holds(body.pauses >= 1 && body.pauses <= total / (MIB * 0.75) + 1, `${body.pauses} pauses`);
  }),
  test('A7: the marks are options, and a pause never outlives the drain', async (setting) => {
    await using connection = setting.transport.open();
    const marks = { highWaterBytes: 4096, lowWaterBytes: 1024 };
    const { body } = await open(setting, connection, '/bytes', { bytes: 4 * MIB, chunk: 1000 }, marks);
    equal(await readPattern(body), 4 * MIB, 'bytes');
    equal(body.bufferedBytes, 0, 'what waits at the end');
  }),
  test('R112: marks that cannot be are refused before anything is sent, and the fault names the value', async (setting) => {
    await using connection = setting.transport.open();
    const refused: readonly (readonly [Partial<ByteStreamRequest>, string])[] = [
      [{ highWaterBytes: Number.NaN }, 'highWaterBytes is NaN'],
      [{ highWaterBytes: -1 }, 'highWaterBytes is -1'],
      [{ highWaterBytes: Infinity }, 'highWaterBytes is Infinity'],
      [{ highWaterBytes: 1.5 }, 'highWaterBytes is 1.5'],
      [{ lowWaterBytes: Number.NaN }, 'lowWaterBytes is NaN'],
      [{ lowWaterBytes: -4096 }, 'lowWaterBytes is -4096'],
      [{ highWaterBytes: 1000, lowWaterBytes: 1001 }, 'lowWaterBytes is 1001'],
      [{ lowWaterBytes: '9' as unknown as number }, 'lowWaterBytes is 9'],
      [{ lowWaterBytes: 2 * MIB }, `lowWaterBytes is ${2 * MIB}`],
      [{ body: {} as string }, 'body is an object'],
    ];
    for (const [options, named] of refused) {
      const failure = await failureOf(open(setting, connection, '/bytes', {}, options));
      equal(failure?.kind, 'invalid-request', named);
      holds(failure?.detail.includes(named) === true, `'${failure?.detail}' names '${named}'`);
    }
    equal((await facts(setting)).requests, 0, 'requests that the server saw');
  }),
  test('R112: at the least marks every byte comes, and the empty queue goes on', async (setting) => {
    for (const [highWaterBytes, lowWaterBytes] of [
      [0, 0],
      [1, 0],
      [1, 1],
      [65_536, 0],
      [65_536, 65_536],
      [1000, undefined],
    ] as const) {
      await using connection = setting.transport.open();
      const marks = { highWaterBytes, ...(lowWaterBytes === undefined ? {} : { lowWaterBytes }) };
      const its = apart(setting, `${highWaterBytes}-${lowWaterBytes}`);
      const { body } = await open(its, connection, '/bytes', { bytes: 300_000, chunk: 7000 }, marks);
      await tick(setting, 5);
      equal(await readPattern(body), 300_000, `bytes at ${highWaterBytes} and ${lowWaterBytes}`);
    }
  }),
  test('R112: a limit that is no number is refused by the reader that takes it', async (setting) => {
    for (const read of [
      (body: SafeByteStream) => body.text(Number.NaN),
      (body: SafeByteStream) => body.lines(-1).next(),
      (body: SafeByteStream) => body.events({ lineCharsMax: Number.NaN }).next(),
      (body: SafeByteStream) => body.events({ eventCharsMax: '9' as unknown as number }).next(),
    ]) {
      await using connection = setting.transport.open();
      const { body } = await open(setting, connection, '/status', { status: 200 });
      equal(await faultOf(read(body)), 'invalid-request', 'fault');
    }
  }),
  test('R113: a cancel at any instant around the last byte is heard as cancelled, once', async (setting) => {
    for (let instant = 0; instant < 12; instant++) {
      await using connection = setting.transport.open();
      const stop = new AbortController();
      const its = apart(setting, instant);
      const { body } = await open(its, connection, '/bytes', { bytes: 50_000 }, { signal: stop.signal });
      while (body.bufferedBytes < 50_000) await tick(setting, 1);
      for (let i = 0; i < instant; i++) await (i < 8 ? undefined : tick(setting, 5));
      if (instant % 2 === 0) body.cancel();
      else stop.abort();
      const { bytes, kind } = await readToFault(body);
      equal(`${bytes} ${kind}`, '0 cancelled', `bytes and fault at instant ${instant}`);
      equal((await readToFault(body)).kind, 'none', 'afterwards');
    }
  }),
  test('R113: a body of which a part was read hears cancelled, one that was read to its end does not', async (setting) => {
    await using connection = setting.transport.open();
    const { body } = await open(setting, connection, '/bytes', { bytes: 200_000 });
    while (body.bufferedBytes < 200_000) await tick(setting, 1);
    const reader = body[Symbol.asyncIterator]();
    holds((await reader.next()).value !== undefined, 'a first piece');
    await tick(setting, 5);
    body.cancel();
    equal((await readToFault(body)).kind, 'cancelled', 'fault of the half-read one');
    const { body: whole } = await open(apart(setting, 'whole'), connection, '/bytes', { bytes: 1000 });
    equal(await readPattern(whole), 1000, 'bytes');
    whole.cancel();
    equal((await readToFault(whole)).kind, 'none', 'after the end');
  }),
  test('A6: a cancel drops the queue: nothing of it is held or read', async (setting) => {
    await using connection = setting.transport.open();
    const { body } = await open(setting, connection, '/bytes', { bytes: 300_000, end: 'hang' });
    while (body.bufferedBytes < 300_000) await tick(setting, 1);
    body.cancel();
    equal(body.bufferedBytes, 0, 'what waits');
    const { bytes, kind } = await readToFault(body);
    equal(`${bytes} ${kind}`, '0 cancelled', 'bytes and fault');
    const { body: left } = await open(apart(setting, 'left'), connection, '/bytes', { bytes: 300_000, end: 'hang' });
    while (left.bufferedBytes < 300_000) await tick(setting, 1);
    for await (const _ of left) break;
    equal(left.bufferedBytes, 0, 'what waits after a break');
    equal(await readPattern(left), 0, 'bytes after a break');
  }),
  test('A9: a signal that outlives its requests has no listener of theirs', async (setting) => {
    const [signal, listeners] = countedSignal();
    const connection = setting.transport.open();
    const { body } = await open(apart(setting, 'open'), connection, '/bytes', { bytes: 10, end: 'hang' }, { signal });
    equal(listeners(), 1, 'listeners of an open body');
    for await (const _ of body) break;
    equal(listeners(), 0, 'listeners after a break');
    const whole = await open(apart(setting, 'whole'), connection, '/bytes', { bytes: 1000 }, { signal });
    equal(await readPattern(whole.body), 1000, 'bytes');
    equal(listeners(), 0, 'listeners after the end');
    const unread = await open(apart(setting, 'unread'), connection, '/bytes', { bytes: 1000 }, { signal });
    while (listeners() > 0) await tick(setting, 1);
    equal(unread.body.bufferedBytes, 1000, 'what waits in a body that is not read');
    (await open(setting, connection, '/head', {}, { signal })).body.cancel();
    equal(listeners(), 0, 'listeners after a cancel');
    equal(await faultOf(openByteStream(connection, { url: setting.deadUrl, signal })), 'disconnected', 'fault');
    equal(listeners(), 0, 'listeners after a failed open');
    const never = open(setting, connection, '/never', {}, { signal });
    connection.close();
    equal(await faultOf(never), 'cancelled', 'fault');
    equal(listeners(), 0, 'listeners after a close');
  }),
  test('A8: lines over any chunking: split UTF-8, CRLF, CR, a byte order mark, no final newline', async (setting) => {
    await using connection = setting.transport.open();
    const text = '\uFEFFeins\r\nzwei\rdrei\n\n漢字🎉\r\r\n\uFEFFfünf\nlast';
    const bytes = new TextEncoder().encode(text);
    const chunks = Array.from(bytes, (byte) => Uint8Array.of(byte));
    const { body } = await script(setting, connection, chunks);
    const lines: string[] = [];
    for await (const line of body.lines()) lines.push(line);
    const expected = ['eins', 'zwei', 'drei', '', '漢字🎉', '', '\uFEFFfünf', 'last'];
    equal(JSON.stringify(lines), JSON.stringify(expected), 'lines');
  }),
  test('A8: a line larger than the watermark passes, one larger than the cap is a typed fault', async (setting) => {
    await using connection = setting.transport.open();
    const chunks = Array.from({ length: 40 }, () => 'y'.repeat(65_536));
    const { body } = await script(setting, connection, chunks);
    let length = 0;
    for await (const line of body.lines()) length += line.length;
    equal(length, 40 * 65_536, 'characters');
    const { body: again } = await script(setting, connection, chunks);
    equal(await faultOf(again.lines(MIB).next()), 'line-too-large', 'fault');
  }),
  test('A10: a 401 is drained, refreshed once for all callers, and retried on the same connection', async (setting) => {
    let refreshes = 0;
    const credentials = createCredentials({
      token: 'stale',
      refresh: async () => {
        refreshes++;
        await tick(setting, 10);
        return { kind: 'renewed', token: 'good' };
      },
    });
    const url = at(setting, '/guarded', { bytes: 20_000 });
    const answers = await Promise.all(
      [1, 2, 3].map(async (json) => {
        await using connection = setting.transport.open();
        const { status, body } = await streamPostWithRetry(connection, { url, json }, credentials);
        return `${status} ${await body.text()}`;
      }),
    );
    equal(answers.join(), '200 1,200 2,200 3', 'answers');
    equal(refreshes, 1, 'refreshes');
    equal((await facts(setting)).requests, 6, 'requests');
  }),
  test('A10: of a 401 up to 64 KiB are drained; one that goes on, or stops half way, is cut', async (setting) => {
    for (const [bytes, index] of [
      [65_537, 1],
      [10, 2],
    ] as const) {
      await using connection = setting.transport.open();
      const refresh = async (): Promise<{ kind: 'renewed'; token: string }> => ({ kind: 'renewed', token: 'good' });
      const credentials = createCredentials({ token: 'stale', refresh });
      const url = at(setting, '/guarded', { bytes, end: 'hang' });
      const { status, body } = await streamPostWithRetry(connection, { url, json: index }, credentials);
      equal(`${status} ${await body.text()}`, `200 ${index}`, 'answer');
      await facts(setting, 'closed', index);
    }
  }),
  test('A10: a second 401 and a refused refresh are terminal, one that did not get through is not', async (setting) => {
    await using connection = setting.transport.open();
    const post = (refresh?: Parameters<typeof createCredentials>[0]['refresh']): Promise<unknown> =>
      streamPostWithRetry(
        connection,
        { url: at(setting, '/guarded') },
        createCredentials({ token: 'stale', ...(refresh === undefined ? {} : { refresh }) }),
      );
    equal(await faultOf(post(async () => ({ kind: 'renewed', token: 'bad' }))), 'auth-refused', 'second 401');
    equal(await faultOf(post()), 'auth-refused', 'no refresh');
    equal(await faultOf(post(() => Promise.reject(new Error('no network')))), 'auth-unavailable', 'lost refresh');
  }),
];

// ------------------------------------------------------------------------------------------------------ the tools

function at({ origin, key }: Setting, path: string, query: Readonly<Record<string, string | number>> = {}): string {
  const entries = Object.entries({ key, ...query }).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return `${origin}${path}?${entries.join('&')}`;
}

/** The server counts what it sends by key: for a further request in one case. */
const apart = (setting: Setting, name: string | number): Setting => ({ ...setting, key: `${setting.key}-${name}` });

function open(
  setting: Setting,
  connection: OwnedConnection,
  path: string,
  query: Readonly<Record<string, string | number>> = {},
  more: Partial<ByteStreamRequest> = {},
): Promise<ByteStreamResponse> {
  return openByteStream(connection, { url: at(setting, path, query), ...more });
}

function script(
  setting: Setting,
  connection: OwnedConnection,
  chunks: readonly (string | Uint8Array)[],
  end: 'clean' | 'hang' = 'clean',
): Promise<ByteStreamResponse> {
  const encoded = chunks.map((chunk) => btoa(typeof chunk === 'string' ? chunk : String.fromCharCode(...chunk)));
  return open(setting, connection, '/script', { end }, { method: 'POST', body: JSON.stringify(encoded) });
}

/** With `until`, answers when the fact has come `count` times. */
async function facts(setting: Setting, until?: 'requests' | 'closed' | 'ended', count: number = 1): Promise<Facts> {
  const url = at(setting, '/facts', until === undefined ? {} : { until, count });
  const { body } = await openByteStream(setting.transport.short, { url });
  return JSON.parse(await body.text()) as Facts;
}

/** Where the server's count has not moved for half a second. */
async function standstill(setting: Setting): Promise<number> {
  let last = -1;
  for (let same = 0; same < 20;) {
    await tick(setting, 25);
    const { sentBytes } = await facts(setting);
    same = sentBytes === last ? same + 1 : 0;
    last = sentBytes;
  }
  return last;
}

/** @returns how many bytes there were, each of them right. */
async function eachOfPattern(body: SafeByteStream): Promise<number> {
  let offset = 0;
  await body.each((bytes) => {
    holds(patternHolds(bytes, offset), `the bytes from ${offset} on are those that were sent`);
    offset += bytes.length;
    return true;
  });
  return offset;
}

/** @returns how many bytes there were, each of them right. */
async function readPattern(body: SafeByteStream): Promise<number> {
  let offset = 0;
  for await (const bytes of body) {
    holds(patternHolds(bytes, offset), `the bytes from ${offset} on are those that were sent`);
    offset += bytes.length;
  }
  return offset;
}

async function readToFault(body: SafeByteStream): Promise<{ bytes: number; kind: FaultKind | 'none' }> {
  let offset = 0;
  try {
    for await (const bytes of body) {
      holds(patternHolds(bytes, offset), `the bytes from ${offset} on are those that were sent`);
      offset += bytes.length;
    }
  } catch (error) {
    if (error instanceof FaultError) return { bytes: offset, kind: error.fault.kind };
    throw error;
  }
  return { bytes: offset, kind: 'none' };
}

async function faultOf(task: Promise<unknown>): Promise<FaultKind | 'none'> {
  return (await failureOf(task))?.kind ?? 'none';
}

async function failureOf(task: Promise<unknown>): Promise<Fault | undefined> {
  try {
    await task;
    return undefined;
  } catch (error) {
    if (error instanceof FaultError) return error.fault;
    throw error;
  }
}

/** Its listeners that were added and not removed. */
function countedSignal(): [AbortSignal, () => number] {
  const { signal } = new AbortController();
  const added = new Set<unknown>();
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (type: string, listener: EventListenerOrEventListenerObject) => {
    added.add(listener);
    add(type, listener);
  };
  signal.removeEventListener = (type: string, listener: EventListenerOrEventListenerObject) => {
    added.delete(listener);
    remove(type, listener);
  };
  return [signal, () => added.size];
}

function tick({ clock }: Setting, delayMs: number): Promise<void> {
  return new Promise((resolve) => void clock.after(delayMs, resolve));
}
