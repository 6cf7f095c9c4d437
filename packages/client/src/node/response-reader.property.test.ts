/**
 * Responses as our reader and as Node's own read them: what both take is the same, however it is cut, and ours takes nothing that Node's
 * does not.
 */
import http, { type IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { ResponseError, ResponseReader } from './response-reader.ts';

interface Outcome {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly isWhole: boolean;
}

const NAMES = ['x-one', 'content-type', 'retry-after', 'keep-alive'] as const;

function byOurs(pieces: readonly Buffer[]): Outcome {
  let status: number | undefined;
  let headers: ReadonlyMap<string, string> = new Map();
  let isWhole = false;
  const body: Uint8Array[] = [];
  const reader = new ResponseReader({
    isHolding: false,
    head: (code, fields) => ([status, headers] = [code, fields]),
    chunk: (bytes) => body.push(bytes),
    end: () => (isWhole = true),
  });
  try {
    for (const piece of pieces) reader.read(piece);
    reader.finish();
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error;
  }
  return { status, headers: pick((name) => headers.get(name)), body: Buffer.concat(body).toString('latin1'), isWhole };
}

function byNode(pieces: readonly Buffer[]): Promise<Outcome> {
  const socket = new Duplex({
    read() {},
    write(_bytes, _encoding, done) {
      done();
      for (const piece of pieces) this.push(piece);
      this.push(null);
    },
  });
  return new Promise((resolve) => {
    let response: IncomingMessage | undefined;
    let body = '';
    const done = (): void => {
      const headers = pick((name) => response?.headersDistinct[name]?.join(', '));
      const isWhole = response?.complete === true && ended;
      resolve({ status: response?.statusCode, headers, body, isWhole });
    };
    let ended = false;
    const request = http.request({ createConnection: () => socket, headers: { host: 'x' } }, (it) => {
      response = it;
      it.setEncoding('latin1');
      it.on('data', (text: string) => (body += text));
      it.on('end', () => (ended = true));
      it.on('error', () => undefined);
      it.on('close', done);
    });
    request.on('error', () => response ?? done());
    request.on('upgrade', (_response, stream) => {
      stream.destroy();
      done();
    });
    request.end();
  });
}

const pick = (get: (name: string) => string | undefined): Readonly<Record<string, string>> =>
  Object.fromEntries(
    NAMES.flatMap((name) => {
      const value = get(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );

const token = fc.stringMatching(/^[!-9;-~ ]{0,12}$/);
const fields = fc.array(fc.tuple(fc.constantFrom(...NAMES), token), { maxLength: 4 });
const bodies = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 });

const chunkedBody = (chunks: readonly Uint8Array[], extension: string, trailer: string): Buffer =>
  Buffer.concat([
    ...chunks
      .filter(({ length }) => length > 0)
      .flatMap((chunk) => [Buffer.from(`${chunk.length.toString(16)}${extension}\r\n`), chunk, Buffer.from('\r\n')]),
    Buffer.from(`0\r\n${trailer}\r\n`),
  ]);

const response = fc
  .record({
    status: fc.constantFrom(200, 201, 204, 304, 401, 429, 503),
    reason: fc.constantFrom(' OK', ' ', ' Nöt today'),
    early: fc.constantFrom('', 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'),
    fields,
    chunks: bodies,
    framing: fc.constantFrom('chunked', 'length', 'until-end'),
    extension: fc.constantFrom('', ';a=b', ';a'),
    trailer: fc.constantFrom('', 'x-late: 1\r\n'),
  })
  .map(({ status, reason, early, fields: lines, chunks, framing, extension, trailer }) => {
    const hasBody = status !== 204 && status !== 304;
    const body = Buffer.concat(chunks);
    const frame =
      !hasBody || framing === 'until-end'
        ? []
        : [framing === 'length' ? `Content-Length: ${body.length}` : 'Transfer-Encoding: chunked'];
    const head = [`HTTP/1.1 ${status}${reason}`, ...lines.map(([name, value]) => `${name}: ${value}`), ...frame];
    return Buffer.concat([
      Buffer.from(`${early}${head.join('\r\n')}\r\n\r\n`, 'latin1'),
      hasBody ? (framing === 'chunked' ? chunkedBody(chunks, extension, trailer) : body) : Buffer.alloc(0),
    ]);
  });

const cut = (bytes: Buffer, places: readonly number[]): readonly Buffer[] => {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b);
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
};
const cuts = fc.array(fc.nat(), { maxLength: 8 });

test('A2: a response is read as Node reads it, however it is cut', async () => {
  await fc.assert(
    fc.asyncProperty(response, cuts, async (bytes, places) => {
      const ours = byOurs(cut(bytes, places));
      expect(ours).toEqual(await byNode([bytes]));
      expect(ours.isWhole).toBe(true);
    }),
    { numRuns: 1_000 },
  );
});

test('A2: byte by byte it is the same', () => {
  fc.assert(
    fc.property(response, (bytes) => {
      expect(byOurs([...bytes].map((byte) => Buffer.of(byte)))).toEqual(byOurs([bytes]));
    }),
    { numRuns: 300 },
  );
});

const spoiled = fc
  .tuple(
    response,
    fc.array(
      fc.tuple(fc.nat(), fc.constantFrom('\r', '\n', '\0', ' ', ':', ';', '0', 'a', '9', 'F', '\xff'), fc.nat(2)),
      { minLength: 1, maxLength: 3 },
    ),
  )
  .map(([bytes, changes]) => {
    let text = bytes.toString('latin1');
    for (const [place, character, how] of changes) {
      const at = place % (text.length + 1);
      text = text.slice(0, at) + (how === 0 ? '' : character) + text.slice(how === 2 ? at : at + 1);
    }
    return Buffer.from(text, 'latin1');
  });

test('A2: what is no response is not taken for one: all that is taken as whole is so in Node’s eyes too', async () => {
  await fc.assert(
    fc.asyncProperty(spoiled, cuts, async (bytes, places) => {
      const ours = byOurs(cut(bytes, places));
      if (ours.isWhole) expect(ours).toEqual(await byNode([bytes]));
    }),
    { numRuns: 3_000 },
  );
});

test.each([
  ['two framings', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'],
  ['another coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'],
  ['a folded line', 'HTTP/1.1 200 OK\r\nX-One: a\r\n b\r\n\r\n'],
  ['bare line feeds', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
  ['a chunk size with a sign', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n'],
  ['a chunk size beyond numbers', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${'f'.repeat(20)}\r\n`],
  ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nabc'],
  ['HTTP/2', 'HTTP/2 200 OK\r\n\r\n'],
  ['a head without an end', `HTTP/1.1 200 OK\r\nX-One: ${'a'.repeat(20_000)}`],
  ['trailers without an end', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${'a: b\r\n'.repeat(5_000)}`],
])('%s is refused', (_what, text) => {
  expect(byOurs([Buffer.from(text, 'latin1')]).isWhole).toBe(false);
});
