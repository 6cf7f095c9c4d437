/**
 * A response body that cannot crash its process, drown its reader or lose what it has accepted (A1–A9).
 *
 * Stages: `openByteStream` sends the request → the promise settles once, with the head or a fault → one pump fills the
 * stream's own queue, eagerly, up to the high mark → one iterator takes from it.
 *
 * S1. Every callback of the wire goes through `Pump`, which is `opening`, then `streaming`, then `over`, and never back.
 * S2. Whoever waits, early or late, gets the real outcome; a rejection that nobody awaits is not an unhandled one.
 * S3. `held` and the wire's `hold` change in one step, in `#account`, after the count has changed and before anybody
 *     else runs. The count is the queue's bytes, so it cannot be negative or forgotten.
 * S4. A closed connection or a lost one is heard after what the queue holds; a cancel by the reader drops the queue, and the reader
 *     hears `cancelled` unless it has heard the end.
 * S5. Small chunks that wait are joined: a queue of n bytes costs about n bytes, whatever the peer's chunks.
 */
import { fault, FaultError, type Fault } from '@holdfast/protocol/fault';
import { createSseDecoder, LineSplitter, type SseEvent, type SseLimits } from '@holdfast/protocol/sse-decode';

import { checkLimits, faultOfRequest, marksOf } from './stream-options.ts';
import type { Connection } from './transport.ts';
import type { ResponseHeaders, WireExchange, WireSink } from './wire.ts';

export interface ByteStreamRequest {
  readonly url: string;
  /** GET by default. */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Aborting it is `body.cancel()`, before the head too. */
  readonly signal?: AbortSignal;
  /** Reading pauses above this many unconsumed bytes … (1 MiB) 0 pauses after each chunk. */
  readonly highWaterBytes?: number;
  /** … and goes on below this many, or when none is left. At most `highWaterBytes`; a quarter of it by default. */
  readonly lowWaterBytes?: number;
}

export interface ByteStreamResponse {
  /** Redirects are not followed: a 3xx is handed out (a browser says 0 instead). */
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly body: SafeByteStream;
}

/** See `open-byte-stream.ts`. */
export function openByteStream(connection: Connection, request: ByteStreamRequest): Promise<ByteStreamResponse> {
  const opened = new Promise<ByteStreamResponse>((resolve, reject) => {
    const failure = faultOfRequest(request);
    if (failure !== undefined) return reject(new FaultError(failure));
    new Pump(request, resolve, reject).start(connection, request);
  });
  opened.catch(() => {}); // S2
  return opened;
}

export class SafeByteStream implements AsyncIterable<Uint8Array> {
  readonly #pump: Pump;

  constructor(pump: Pump) {
    this.#pump = pump;
  }

  /** Bytes that wait for the reader. */
  get bufferedBytes(): number {
    return this.#pump.bufferedBytes;
  }

  /** How often reading was paused. At most bytes ÷ (high − low) + 1. */
  get pauses(): number {
    return this.#pump.pauses;
  }

  /**
   * Ends the request and drops what waits. A pending or later `next` throws `cancelled`, once: also when the last byte had arrived, so
   * that no truncated body looks whole (R113). After the reader has heard the end it does nothing.
   */
  cancel(): void {
    this.#pump.cancel(CANCELLED);
  }

  /** There is one reader. Its `break`, `return` or throw ends the request (A5). */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    const pump = this.#pump;
    return {
      next: () => pump.next(),
      return: () => {
        pump.cancel(undefined);
        return Promise.resolve(DONE);
      },
    };
  }

  /**
   * For a reader that never waits: each chunk as it comes, without a promise for each. `take` says whether to go on; `false`
   * ends the request, as a throw does. Resolves at the end. @throws FaultError, or what `take` threw.
   */
  each(take: (bytes: Uint8Array) => boolean): Promise<void> {
    return this.#pump.each(take);
  }

  /** Lines without their ends: LF, CR or CRLF, over any chunking. @throws FaultError `line-too-large`. */
  async *lines(lineCharsMax: number = 4 * MIB): AsyncGenerator<string, undefined> {
    checkLimits({ lineCharsMax });
    let batch: string[] = [];
    const splitter = new LineSplitter((text, from, to) => {
      batch.push(text.slice(from, to));
      return to + 1;
    }, lineCharsMax);
    for await (const bytes of this) {
      const failure = splitter.push(bytes);
      yield* batch;
      batch = [];
      if (failure !== undefined) throw new FaultError(failure);
    }
    splitter.end();
    yield* batch;
  }

  /** Server-sent events. @throws FaultError `line-too-large`, `event-too-large`. */
  async *events(limits: SseLimits = {}): AsyncGenerator<SseEvent, undefined> {
    checkLimits(limits);
    let batch: SseEvent[] = [];
    const decoder = createSseDecoder({ event: (event) => void batch.push(event) }, limits);
    for await (const bytes of this) {
      const failure = decoder.push(bytes);
      yield* batch;
      batch = [];
      if (failure !== undefined) throw new FaultError(failure);
    }
  }

  /** The whole body as text. @throws FaultError `body-too-large`. */
  async text(bytesMax: number = 16 * MIB): Promise<string> {
    checkLimits({ bytesMax });
    const decoder = new TextDecoder();
    let text = '';
    let bytes = 0;
    for await (const chunk of this) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw new FaultError(fault('body-too-large', `The body has more than ${bytesMax} bytes.`));
      text += decoder.decode(chunk, { stream: true });
    }
    return text + decoder.decode();
  }
}

const MIB = 1024 * 1024;
const CANCELLED = fault('cancelled', 'The reader cancelled the request.');
const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };
/** Chunks below this are joined while they wait … */
const SMALL_BYTES = 2048;
/** … into pieces of this size. */
const JOINED_BYTES = 16_384;
/** A wire that was told to hold brings a chunk or none (W2). At this many bytes the stream fails: it neither hangs nor grows. */
const OVERFLOW_BYTES = 4 * MIB;
/** Stands where a piece was that has been read. */
const READ = new Uint8Array();

interface Waiter {
  resolve(result: IteratorResult<Uint8Array, undefined>): void;
  reject(error: unknown): void;
}

/** The sink of the wire and the source of the iterator. S1: `#phase` only goes forward. `told`: the reader has heard the end. */
class Pump implements WireSink {
  readonly #high: number;
  readonly #low: number;
  readonly #resolve: (response: ByteStreamResponse) => void;
  readonly #reject: (error: FaultError) => void;
  #phase: 'opening' | 'streaming' | 'over' | 'told' = 'opening';
  #exchange: WireExchange | undefined;
  readonly #signal: AbortSignal | undefined;
  #unlisten: (() => void) | undefined;
  /** The end that the reader hears when the queue is empty and the phase is `over`. */
  #failure: Fault | undefined;
  #queue: Uint8Array[] = [];
  #first = 0;
  /** The last piece of the queue, where it is one of ours with `#joinedFree` bytes still unused. */
  #joined: Uint8Array<ArrayBuffer> | undefined;
  #joinedFree = 0;
  #held = false;
  /** Since the wire was told to hold. */
  #bytesInHold = 0;
  #waiter: Waiter | undefined;
  /** Of a waiter that takes all that comes, and is resolved at the end. */
  #take: ((bytes: Uint8Array) => boolean) | undefined;
  bufferedBytes = 0;
  pauses = 0;

  constructor(
    request: ByteStreamRequest,
    resolve: (response: ByteStreamResponse) => void,
    reject: (error: FaultError) => void,
  ) {
    ({ high: this.#high, low: this.#low } = marksOf(request));
    this.#signal = request.signal;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(connection: Connection, { url, method = 'GET', headers = {}, body, signal }: ByteStreamRequest): void {
    if (signal?.aborted) return this.fail(CANCELLED);
    this.#exchange = connection.send({ url, method, headers, body }, this);
    if (signal === undefined) return;
    const onAbort = (): void => this.cancel(CANCELLED);
    signal.addEventListener('abort', onAbort);
    this.#unlisten = () => signal.removeEventListener('abort', onAbort);
  }

  head(status: number, headers: ResponseHeaders): void {
    if (this.#phase !== 'opening') return;
    this.#phase = 'streaming';
    this.#resolve({ status, headers, body: new SafeByteStream(this) });
  }

  chunk(bytes: Uint8Array): void {
    if (this.#phase !== 'streaming' || bytes.length === 0) return;
    if (this.#take !== undefined) return this.#give(this.#take, bytes);
    const waiter = this.#waiter;
    if (waiter !== undefined) {
      this.#waiter = undefined;
      waiter.resolve({ done: false, value: bytes });
      return;
    }
    if (this.#held && (this.#bytesInHold += bytes.length) > OVERFLOW_BYTES) return this.#overflow();
    this.#enqueue(bytes);
    this.#account(bytes.length);
  }

  end(): void {
    if (this.#phase === 'opening') this.fail(fault('disconnected', 'The response ended before its head.'));
    else this.#finish(undefined);
  }

  fail(failure: Fault): void {
    if (this.#phase === 'opening') {
      this.#phase = 'over';
      this.#release();
      this.#reject(new FaultError(failure));
    } else this.#finish(failure);
  }

  /** By the reader (S4): with a fault that it hears, or in silence. */
  cancel(failure: Fault | undefined): void {
    this.#exchange?.cancel();
    this.#dropQueue();
    if (this.#phase === 'over') this.#failure = failure;
    else this.fail(failure ?? CANCELLED);
    if (failure === undefined) this.#phase = 'told';
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#heedSignal();
    const bytes = this.#dequeue();
    if (bytes !== undefined) return Promise.resolve({ done: false, value: bytes });
    return new Promise((resolve, reject) => this.#await({ resolve, reject }));
  }

  each(take: (bytes: Uint8Array) => boolean): Promise<void> {
    this.#heedSignal();
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { resolve: () => resolve(), reject };
      this.#await(waiter);
      if (this.#waiter !== waiter) return;
      this.#take = take;
      for (let bytes; this.#waiter === waiter && (bytes = this.#dequeue()) !== undefined;) this.#give(take, bytes);
      if (this.#isOver) this.#wake();
    });
  }

  get #isOver(): boolean {
    return this.#phase === 'over' || this.#phase === 'told';
  }

  /** After the end it has no listener any more (A9), and what waits is dropped all the same. */
  #heedSignal(): void {
    if (this.#phase === 'over' && this.#signal?.aborted) this.cancel(CANCELLED);
  }

  /** Only a wire that does not hold comes here. What waits is read first (S4). */
  #overflow(): void {
    this.#exchange?.cancel();
    this.fail(fault('stream-overflow', 'The platform did not pause the stream.'));
  }

  /** Whoever comes after the end hears of it at once. */
  #await(waiter: Waiter): void {
    if (this.#waiter !== undefined) return waiter.reject(new TypeError('A byte stream has one reader.'));
    this.#waiter = waiter;
    if (this.#isOver && this.#first === this.#queue.length) this.#wake();
  }

  /** What it throws is its caller's, and never the wire's. */
  #give(take: (bytes: Uint8Array) => boolean, bytes: Uint8Array): void {
    try {
      if (take(bytes)) return;
      this.#dismiss()?.resolve(DONE);
    } catch (error) {
      this.#dismiss()?.reject(error);
    }
    this.cancel(undefined);
  }

  #dismiss(): Waiter | undefined {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    this.#take = undefined;
    return waiter;
  }

  #wake(): void {
    const waiter = this.#dismiss();
    if (waiter === undefined) return;
    const failure = this.#phase === 'told' ? undefined : this.#failure;
    this.#phase = 'told';
    if (failure === undefined) waiter.resolve(DONE);
    else waiter.reject(new FaultError(failure));
  }

  #finish(failure: Fault | undefined): void {
    if (this.#isOver) return;
    this.#phase = 'over';
    this.#failure = failure;
    this.#release();
    this.#wake();
  }

  #release(): void {
    this.#unlisten?.();
    this.#unlisten = undefined;
    this.#exchange = undefined;
  }

  /** S3. */
  #account(bytes: number): void {
    this.bufferedBytes += bytes;
    if (!this.#held && this.bufferedBytes > this.#high) {
      this.#held = true;
      this.#bytesInHold = 0;
      this.pauses++;
      this.#exchange?.hold();
    } else if (this.#held && (this.bufferedBytes < this.#low || this.bufferedBytes === 0)) {
      this.#held = false;
      this.#exchange?.flow();
    }
  }

  #enqueue(bytes: Uint8Array): void {
    if (this.#first === this.#queue.length || bytes.length >= SMALL_BYTES) {
      this.#queue.push(bytes);
      this.#joined = undefined;
      return;
    }
    // S5
    if (this.#joined === undefined || this.#joinedFree < bytes.length) {
      this.#joined = new Uint8Array(JOINED_BYTES);
      this.#joinedFree = JOINED_BYTES;
      this.#queue.push(this.#joined);
    }
    this.#joined.set(bytes, JOINED_BYTES - this.#joinedFree);
    this.#joinedFree -= bytes.length;
    this.#queue[this.#queue.length - 1] = this.#joined.subarray(0, JOINED_BYTES - this.#joinedFree);
  }

  #dequeue(): Uint8Array | undefined {
    const bytes = this.#queue[this.#first];
    if (bytes === undefined) return undefined;
    // Let go of it now: the array may not be cut for a thousand pieces more.
    this.#queue[this.#first++] = READ;
    this.#account(-bytes.length);
    if (this.#first === this.#queue.length) this.#dropPieces();
    else if (this.#first > 1024) {
      this.#queue = this.#queue.slice(this.#first);
      this.#first = 0;
    }
    return bytes;
  }

  #dropPieces(): void {
    this.#queue = [];
    this.#first = 0;
    this.#joined = undefined;
  }

  #dropQueue(): void {
    this.#dropPieces();
    this.bufferedBytes = 0;
  }
}
