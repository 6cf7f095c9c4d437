/**
 * All readers of this process: how many there may be, and what happens to all of them alike.
 *
 * 1. A reader is admitted before its response's head is sent: a refusal is a proper 429.
 * 2. One sweep serves all: heartbeats, stalls, expiry. It runs every `sweepMs`, and at once when a token was revoked, so that
 *    a stream outlives its token by less than a second.
 * 3. `dismiss` says goodbye to all and lets nobody in any more.
 * 4. Under pressure a lane that has just sent is asked again only after the window that `pressure.ts` gives, by one timer for all:
 *    what came meanwhile is one write then. An event after a pause goes out at once all the same.
 */
import type { ServerResponse } from 'node:http';
import { fault, type Fault, type Goodbye } from '@holdfast/protocol';
import type { Clock, Timer } from '@holdfast/session';
import type { Principal } from '../auth/principal.ts';
import { newId } from '../auth/secret.ts';
import { Pressure } from './pressure.ts';
import { Reader, type Lane } from './reader.ts';
import { openWire } from './wire.ts';

export interface ReadersOptions {
  readonly clock: Clock;
  readonly build: string;
  readonly readersMax: number;
  readonly readersPerSubjectMax: number;
  readonly stallMs: number;
  readonly heartbeatMs?: number;
  readonly sweepMs?: number;
  readonly lingerMs?: number;
  /** Whether a principal's token is neither expired nor revoked. */
  isValid(principal: Principal): boolean;
}

const SWEEP_MS = 250;
/** Two thirds of what `hello` promises, so that a late sweep keeps the promise. */
const HEARTBEAT_QUIET_MS = 10_000;
const LINGER_MS = 5_000;
const RETRY_MS = 1_000;

export type Admission =
  | { readonly kind: 'admitted'; readonly reader: Reader }
  | { readonly kind: 'fault'; readonly fault: Fault };

export class Readers {
  readonly #options: ReadersOptions;
  readonly #readers = new Map<string, Reader>();
  readonly #countBySubject = new Map<string, number>();
  readonly #pressure = new Pressure();
  #timer: Timer | undefined;
  #windowMs = 0;
  #putOffLanes: Lane[] = [];
  #windowTimer: Timer | undefined;
  #dismissed: Goodbye | undefined;
  /** Of readers that are gone; for metrics. */
  #bytesOfGone = 0;
  opened = 0;

  constructor(options: ReadersOptions) {
    this.#options = options;
    this.#schedule();
  }

  get size(): number {
    return this.#readers.size;
  }

  get bytesSent(): number {
    let bytes = this.#bytesOfGone;
    for (const reader of this.#readers.values()) bytes += reader.bytesSent;
    return bytes;
  }

  /** Rule 1. */
  admit(principal: Principal): Admission {
    const { readersMax, readersPerSubjectMax, clock, build, stallMs } = this.#options;
    if (this.#dismissed !== undefined)
      return refuse(
        fault('shutting-down', 'The gateway is shutting down. Open the stream again in a moment.', {
          retryAfterMs: RETRY_MS,
        }),
      );
    if (this.#readers.size >= readersMax) return refuse(tooMany('streams are open', readersMax));
    const ofSubject = this.#countBySubject.get(principal.subject) ?? 0;
    if (ofSubject >= readersPerSubjectMax)
      return refuse(tooMany(`streams of ${principal.subject} are open`, readersPerSubjectMax));
    const reader = new Reader({
      streamId: newId('st'),
      principal,
      build,
      clock,
      stallMs,
      heartbeatMs: this.#options.heartbeatMs ?? HEARTBEAT_QUIET_MS,
      lingerMs: this.#options.lingerMs ?? LINGER_MS,
      putOff: this.#putOff,
      onClose: this.#forget,
    });
    this.opened += 1;
    this.#readers.set(reader.streamId, reader);
    this.#countBySubject.set(principal.subject, ofSubject + 1);
    return { kind: 'admitted', reader };
  }

  /** The head of `outgoing` is ready to go: from here on it is the reader's. */
  open(reader: Reader, outgoing: ServerResponse, hello?: Readonly<Record<string, unknown>>): void {
    if (outgoing.destroyed) return reader.onGone();
    reader.open(openWire(outgoing, { onDrain: () => reader.onDrain(), onClose: () => reader.onGone() }), hello);
    // Dismissed between admission and head.
    if (this.#dismissed !== undefined) reader.goodbye(this.#dismissed);
  }

  /** An admitted reader whose stream could not be opened. */
  abandon(reader: Reader): void {
    reader.onGone();
  }

  /** A subject's own stream. */
  find(streamId: string, principal: Principal): Reader | undefined {
    const reader = this.#readers.get(streamId);
    return reader?.principal.subject === principal.subject && reader.state !== 'ending' ? reader : undefined;
  }

  /** Rule 2: tokens have changed. */
  checkTokens(): void {
    for (const reader of this.#readers.values())
      if (!this.#options.isValid(reader.principal)) reader.goodbye({ reason: 'auth-expired' });
  }

  /** Rule 3. */
  dismiss(why: Goodbye): void {
    this.#dismissed = why;
    for (const reader of this.#readers.values()) reader.goodbye(why);
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#windowTimer?.cancel();
  }

  #schedule(): void {
    this.#timer = this.#options.clock.after(this.#options.sweepMs ?? SWEEP_MS, () => {
      this.#schedule();
      this.#sweep();
    });
  }

  #sweep(): void {
    this.#windowMs = this.#pressure.sample();
    this.checkTokens();
    const nowMs = this.#options.clock.monotonicMs();
    for (const reader of this.#readers.values()) reader.sweep(nowMs);
  }

  /** Rule 4. */
  readonly #putOff = (lane: Lane): boolean => {
    if (this.#windowMs === 0) return false;
    this.#putOffLanes.push(lane);
    this.#windowTimer ??= this.#options.clock.after(this.#windowMs, () => {
      this.#windowTimer = undefined;
      const lanes = this.#putOffLanes;
      this.#putOffLanes = [];
      for (const each of lanes) each.sent();
    });
    return true;
  };

  readonly #forget = (reader: Reader): void => {
    if (!this.#readers.delete(reader.streamId)) return;
    this.#bytesOfGone += reader.bytesSent;
    const { subject } = reader.principal;
    const left = (this.#countBySubject.get(subject) ?? 1) - 1;
    if (left === 0) this.#countBySubject.delete(subject);
    else this.#countBySubject.set(subject, left);
  };
}

const refuse = (fault: Fault): Admission => ({ kind: 'fault', fault });
const tooMany = (what: string, max: number): Fault =>
  fault('too-many-readers', `${max} ${what}, which is the limit. Close one, or wait.`, {
    retryAfterMs: 5_000,
    facts: { readersMax: max },
  });
