/**
 * A reader: one open stream and the lanes that feed it. A lane is a session, a turn or the feed; a stream has one, a
 * multiplexed stream many.
 *
 * Stages: hello; then rounds. A round takes one batch from each lane that has one, in the order they came, joins them and
 * writes once. A lane is asked for its next batch only when its last one was written.
 *
 * 1. A reader is a place in each log and at most one batch a lane: a slow one costs no memory, it falls behind (log law L6).
 * 2. While the wire is full no round runs. A wire that stays full for `stallMs` is told `too-slow` and ended (R57).
 * 3. Every intended end says goodbye first (R51), also to a reader that may never read it.
 * 4. After the end nothing of a lane is held or written; a lane's late answer finds the reader closed and does nothing.
 */
import { HEARTBEAT_MS, PROTOCOL_VERSION, type Goodbye, type Hello } from '@holdfast/protocol';
import type { Clock } from '@holdfast/session';
import type { Principal } from '../auth/principal.ts';
import { encodeControl, heartbeatChunk } from './encode.ts';
import type { Wire } from './wire.ts';

export interface Lane {
  /** Unique in its reader. */
  readonly key: string;
  /** Begins to offer what it has. */
  start(): void;
  /** What was offered last has been written: the lane may offer more, at once or later. */
  sent(): void;
  /** Lets go of everything; nothing is offered any more. */
  close(): void;
}

interface Batch {
  /** A chunk (`chunk.ts`). */
  readonly bytes: Buffer;
  readonly lane: Lane | undefined;
}

type ReaderState =
  | { readonly kind: 'open' }
  /** The wire is full (rule 2). */
  | { readonly kind: 'blocked'; readonly sinceMs: number }
  /** Goodbye was said; the peer has until the next sweeps to take it. */
  | { readonly kind: 'ending'; readonly sinceMs: number; readonly unsaid?: Goodbye }
  | { readonly kind: 'closed' };

export interface ReaderOptions {
  readonly streamId: string;
  readonly principal: Principal;
  readonly build: string;
  readonly clock: Clock;
  readonly stallMs: number;
  /** How long a quiet stream stays quiet. */
  readonly heartbeatMs: number;
  /** A connection that takes nothing is broken off so long after its goodbye. */
  readonly lingerMs: number;
  /** Under pressure: true, and the lane is told a little later that its batch was sent. */
  putOff(lane: Lane): boolean;
  onClose(reader: Reader): void;
}

export class Reader {
  readonly streamId: string;
  readonly principal: Principal;
  bytesSent = 0;
  readonly #options: ReaderOptions;
  readonly #lanes = new Map<string, Lane>();
  #wire: Wire | undefined;
  #state: ReaderState = { kind: 'open' };
  #ready: Batch[] = [];
  #roundIsDue = false;
  /** Looked at by the sweep, so that a write needs no clock. */
  #wroteSinceSweep = true;
  #quietSinceMs = 0;

  constructor(options: ReaderOptions) {
    this.streamId = options.streamId;
    this.principal = options.principal;
    this.#options = options;
  }

  get state(): ReaderState['kind'] {
    return this.#state.kind;
  }

  /** The head has gone out; everything else goes through `wire`. */
  open(wire: Wire, greeting: Readonly<Record<string, unknown>> = {}): void {
    this.#wire = wire;
    const hello: Hello = { protocol: PROTOCOL_VERSION, build: this.#options.build, heartbeatMs: HEARTBEAT_MS };
    this.#write(encodeControl({ event: 'hello', data: JSON.stringify({ ...hello, ...greeting }) }));
    const state = this.#state;
    if (state.kind === 'ending') {
      // It was dismissed before its head was out.
      if (state.unsaid !== undefined) this.#write(encodeGoodbye(state.unsaid));
      return wire.end();
    }
    for (const lane of this.#lanes.values()) lane.start();
    this.#roundIsDue = true;
    this.#round();
  }

  // ── lanes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** One that is there already under its key is replaced. */
  addLane(lane: Lane): void {
    if (this.#isOver()) return lane.close();
    this.removeLane(lane.key);
    this.#lanes.set(lane.key, lane);
    if (this.#wire !== undefined) lane.start();
  }

  removeLane(key: string): boolean {
    const lane = this.#lanes.get(key);
    this.#lanes.delete(key);
    lane?.close();
    return lane !== undefined;
  }

  hasLane(key: string): boolean {
    return this.#lanes.has(key);
  }

  get laneCount(): number {
    return this.#lanes.size;
  }

  /** A batch to send, of a lane or (a goodbye to one) of nobody any more. */
  offer(bytes: Buffer, lane?: Lane): void {
    if (this.#isOver()) return;
    // Before the head is out, everything waits for `open`.
    const isFree = this.#wire !== undefined && this.#state.kind === 'open' && !this.#roundIsDue;
    if (!isFree) return void this.#ready.push({ bytes, lane });
    this.#roundIsDue = true;
    if (this.#lanes.size > 1) {
      // Many lanes wake in one tick: let them all come before the round.
      this.#ready.push({ bytes, lane });
      return queueMicrotask(this.#round);
    }
    this.#write(bytes);
    this.#sent(lane);
    this.#round();
  }

  /** Batches that are offered meanwhile make the next round, not a deeper call. */
  readonly #round = (): void => {
    while (this.#ready.length > 0 && this.#state.kind === 'open') {
      const batches = this.#ready;
      this.#ready = [];
      const [first] = batches;
      this.#write(
        batches.length === 1 && first !== undefined ? first.bytes : Buffer.concat(batches.map(({ bytes }) => bytes)),
      );
      for (const { lane } of batches) this.#sent(lane);
    }
    this.#roundIsDue = false;
  };

  #sent(lane: Lane | undefined): void {
    if (lane !== undefined && !this.#options.putOff(lane)) lane.sent();
  }

  // ── the wire ──────────────────────────────────────────────────────────────────────────────────────────────────────

  onDrain(): void {
    if (this.#state.kind !== 'blocked') return;
    this.#state = { kind: 'open' };
    this.#roundIsDue = true;
    this.#round();
  }

  /** The end of one session's part: said, and its lane let go; the others go on. */
  part(key: string, why: Goodbye): void {
    this.removeLane(key);
    this.offer(encodeGoodbye(why));
  }

  /** The connection is gone. */
  onGone(): void {
    this.#letGo();
    this.#state = { kind: 'closed' };
    this.#options.onClose(this);
  }

  /** Rule 3. */
  goodbye(why: Goodbye): void {
    if (this.#isOver()) return;
    this.#write(encodeGoodbye(why));
    this.#end(why);
  }

  /** Ends a stream that has nothing more to say: its last entry said so. */
  finish(): void {
    if (!this.#isOver()) this.#end();
  }

  #end(why?: Goodbye): void {
    this.#letGo();
    const unsaid = this.#wire === undefined && why !== undefined ? { unsaid: why } : {};
    this.#state = { kind: 'ending', sinceMs: this.#options.clock.monotonicMs(), ...unsaid };
    this.#wire?.end();
  }

  /** Called often: heartbeat, stall, linger. */
  sweep(nowMs: number): void {
    const { stallMs, heartbeatMs, lingerMs } = this.#options;
    const state = this.#state;
    if (this.#wroteSinceSweep) this.#quietSinceMs = nowMs;
    this.#wroteSinceSweep = false;
    if (state.kind === 'blocked' && nowMs - state.sinceMs >= stallMs)
      this.goodbye({ reason: 'too-slow', retryAfterMs: 1_000 });
    else if (state.kind === 'ending' && nowMs - state.sinceMs >= lingerMs) this.#wire?.destroy();
    else if (state.kind === 'open' && nowMs - this.#quietSinceMs >= heartbeatMs) this.#write(heartbeatChunk);
  }

  #write(bytes: Buffer): void {
    const wire = this.#wire;
    if (wire === undefined) return;
    this.#wroteSinceSweep = true;
    this.bytesSent += bytes.length;
    if (!wire.write(bytes) && this.#state.kind === 'open')
      this.#state = { kind: 'blocked', sinceMs: this.#options.clock.monotonicMs() };
  }

  #isOver(): boolean {
    return this.#state.kind === 'ending' || this.#state.kind === 'closed';
  }

  #letGo(): void {
    for (const lane of this.#lanes.values()) lane.close();
    this.#lanes.clear();
    this.#ready = [];
  }
}

const encodeGoodbye = (why: Goodbye): Buffer => encodeControl({ event: 'goodbye', data: JSON.stringify(why) });
