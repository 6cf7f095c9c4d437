/** The laws of A1–A7 over every order of the wire's callbacks and the reader's calls, on a wire without sockets. */
import { FaultError, type FaultKind } from '@holdfast/protocol/fault';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { openByteStream, type SafeByteStream } from '../src/byte-stream.ts';
import { patternBytes, patternHolds } from '../src/testing.ts';
import { FakeWire, microtasks } from './fakes.ts';

const HIGH = 200;
const LOW = 50;
const CHUNK_MAX = 80;

/** The queue as it should be, kept beside the real one. */
class Reader {
  readonly wire = new FakeWire();
  readonly connection = this.wire.transport().open();
  readonly abort = new AbortController();
  outcome: FaultKind | 'open' | 'ended' = 'open';
  body: SafeByteStream | undefined;
  iterator: AsyncIterator<Uint8Array, undefined> | undefined;
  pending = 0;
  offset = 0;
  settlements = 0;

  async open(): Promise<void> {
    const opened = openByteStream(this.connection, {
      url: 'http://fake/',
      highWaterBytes: HIGH,
      lowWaterBytes: LOW,
      signal: this.abort.signal,
    });
    await opened.then(
      ({ body }) => {
        this.settlements++;
        this.body = body;
        this.iterator = body[Symbol.asyncIterator]();
      },
      (error: unknown) => this.end(error),
    );
  }

  end(error: unknown): void {
    this.settlements++;
    this.outcome = error instanceof FaultError ? error.fault.kind : 'internal';
  }

  async read(): Promise<void> {
    if (this.iterator === undefined || this.pending > 0 || this.outcome !== 'open') return;
    this.pending++;
    await this.iterator.next().then(
      ({ done, value }) => {
        if (done) this.outcome = 'ended';
        else {
          expect(patternHolds(value, this.offset)).toBe(true);
          this.offset += value.length;
        }
      },
      (error: unknown) => this.end(error),
    );
    this.pending--;
  }
}

type Step = {
  readonly kind: 'head' | 'chunk' | 'read' | 'end' | 'lose' | 'close' | 'abort' | 'cancel';
  readonly n: number;
  readonly times: number;
};

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 1, arbitrary: fc.constant('head' as const) },
    { weight: 15, arbitrary: fc.constant('chunk' as const) },
    { weight: 15, arbitrary: fc.constant('read' as const) },
    { weight: 1, arbitrary: fc.constantFrom('end', 'lose', 'close', 'abort', 'cancel') },
  ),
  n: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: CHUNK_MAX })),
  times: fc.integer({ min: 1, max: 12 }),
});

test('A1–A7: in any order, bytes come once and in order, pauses keep to the marks, and there is one outcome', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), fc.nat(3), async (steps, ticks) => {
      const reader = new Reader();
      const opened = reader.open();
      const exchange = reader.wire.last;
      exchange.onHold = () => expect(reader.body?.bufferedBytes).toBeGreaterThan(HIGH);
      exchange.onFlow = () => expect(reader.body?.bufferedBytes).toBeLessThan(LOW);
      let sent = 0;
      let ended: 'no' | 'clean' | 'lost' | 'closed' | 'dropped' = 'no';
      for (const { kind, n, times } of steps) {
        if (kind === 'head' && !exchange.answered) exchange.head(200);
        for (let i = 0; i < times; i++) {
          if (kind === 'chunk' && exchange.answered && !exchange.held) {
            exchange.tell(patternBytes(sent, n));
            if (ended === 'no') sent += n;
          }
          if (kind === 'read') {
            void reader.read();
            await microtasks(4);
          }
        }
        if (kind === 'end') exchange.end();
        if (kind === 'lose') exchange.lose();
        if (kind === 'close') reader.connection.close();
        if (kind === 'abort') reader.abort.abort();
        if (kind === 'cancel') reader.body?.cancel();
        if (ended === 'no') {
          if (kind === 'end') ended = 'clean';
          if (kind === 'lose') ended = 'lost';
          if (kind === 'close') ended = 'closed';
          if (kind === 'abort' || (kind === 'cancel' && reader.body !== undefined)) ended = 'dropped';
        } else if (kind === 'abort' || kind === 'cancel') break;
        await microtasks(ticks);
        const { body } = reader;
        if (body === undefined) continue;
        // A7
        expect(body.bufferedBytes).toBeGreaterThanOrEqual(0);
        expect(body.bufferedBytes).toBeLessThanOrEqual(HIGH + CHUNK_MAX);
        if (ticks === 3 && ended === 'no') expect(body.bufferedBytes).toBe(sent - reader.offset);
        if (ended === 'no') expect(exchange.held ? body.bufferedBytes >= LOW : body.bufferedBytes <= HIGH).toBe(true);
        expect(body.pauses).toBeLessThanOrEqual(sent / (HIGH - LOW) + 1);
      }
      if (ended === 'no') {
        if (!exchange.answered) exchange.head(200);
        await microtasks(5);
        exchange.end();
        ended = 'clean';
      }
      await opened;
      await microtasks(5);
      const dropped = steps.some(({ kind }) => kind === 'abort' || kind === 'cancel');
      for (let i = 0; i < 200 && reader.outcome === 'open'; i++) await reader.read();

      // A1: opened or not, there is one end; A6: it comes after every accepted byte.
      expect(reader.outcome).not.toBe('open');
      expect(reader.settlements).toBeLessThanOrEqual(2);
      if (!dropped && reader.body !== undefined) expect(reader.offset).toBe(sent);
      reader.connection.close();
      expect(reader.wire.connections).toBe(0);
      expect(reader.wire.live.length).toBe(0);
    }),
    { numRuns: 5000 },
  );
});

test('A9: a million tiny chunks that wait cost about what they hold', async () => {
  const wire = new FakeWire();
  const opened = openByteStream(wire.transport().open(), { url: 'http://fake/', highWaterBytes: 2_000_000 });
  wire.last.head(200);
  const { body } = await opened;
  globalThis.gc?.();
  const before = memoryBytes();
  for (let i = 0; i < 1_000_000; i++) wire.last.tell(patternBytes(i, 1));
  globalThis.gc?.();
  expect(memoryBytes() - before).toBeLessThan(8 * 1024 * 1024);
  expect(body.bufferedBytes).toBe(1_000_000);
  wire.last.end();
  let offset = 0;
  for await (const bytes of body) {
    expect(patternHolds(bytes, offset)).toBe(true);
    offset += bytes.length;
  }
  expect(offset).toBe(1_000_000);
});

test('A9: what was read is let go of, though the queue is never empty', async () => {
  const wire = new FakeWire();
  const opened = openByteStream(wire.transport().open(), { url: 'http://fake/' });
  wire.last.head(200);
  const iterator = (await opened).body[Symbol.asyncIterator]();
  wire.last.tell(patternBytes(0, 65_536));
  globalThis.gc?.();
  const before = memoryBytes();
  for (let i = 1; i < 900; i++) {
    wire.last.tell(patternBytes(i * 65_536, 65_536));
    await iterator.next();
  }
  // Array buffers are swept beside the program, some time after their collection.
  const held = (): number => {
    globalThis.gc?.();
    return memoryBytes() - before;
  };
  await expect.poll(held).toBeLessThan(4 * 1024 * 1024);
  await iterator.return?.();
});

function memoryBytes(): number {
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}
