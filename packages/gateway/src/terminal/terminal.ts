/**
 * One terminal: a process on a pty, the ring that keeps its output, and the one reader that it has at a time.
 *
 * Output and input are both byte streams with offsets, so that each survives a lost connection in the same way: whoever comes
 * back says how far they are.
 *
 * 1. A reader at offset N gets the bytes from N on, each once, or a fault that says what is still here. What it has not confirmed
 *    is kept: bytes that were handed to a socket may never have arrived.
 * 2. With a window of unconfirmed bytes the pty is paused, so that its process stands still; a confirmation lets it go on. Memory
 *    is the ring (ring rule 3), for a reader that is slow and for one that is gone.
 * 3. There is one reader, and it has a number. A new one takes over: the number before is refused from then on, to read, to confirm,
 *    to type and to resize. (With two, the slower would hold the other's pty, and their input would have no order.)
 * 4. Input is applied where it continues the input so far. What was applied is not applied again, so a retry after a lost answer types nothing twice.
 * 5. A stream ends cleanly after the last byte of a process that has exited; every other end is a broken connection.
 * 6. A terminal that nobody reads for `idleMs` is ended: SIGHUP, and SIGKILL after `GRACE_MS`. One that has exited is kept for `lingerMs`
 *    after its last reader left, with the rest of its output and its exit.
 */
import type { ServerResponse } from 'node:http';
import {
  fault,
  type Fault,
  type Subject,
  type TerminalExit,
  type TerminalSize,
  type TerminalStatus,
} from '@holdfast/protocol';
import type { Clock, Timer } from '@holdfast/session';
import type { Principal } from '../auth/principal.ts';
import { chunkOf } from '../stream/chunk.ts';
import { openWire, type Wire } from '../stream/wire.ts';
import { OutputRing } from './output-ring.ts';
import type { Pty, PtyOrder, SpawnPty } from './pty.ts';

export interface TerminalOptions {
  readonly terminalId: string;
  readonly subject: Subject;
  /** It ends with this principal's token. */
  readonly opener: Principal;
  /** So that a retry of the request that opened it finds it. */
  readonly clientId: string | undefined;
  readonly order: PtyOrder;
  readonly spawn: SpawnPty;
  readonly clock: Clock;
  readonly windowBytes: number;
  readonly idleMs: number;
  readonly lingerMs: number;
  onGone(terminal: Terminal): void;
}

export type Attached =
  | {
      readonly kind: 'attached';
      readonly reader: number;
      readonly offset: number;
      readonly inputEnd: number;
      readonly windowBytes: number;
      /** Its head has gone out: from here on the response is the reader's. */
      open(outgoing: ServerResponse): void;
    }
  | { readonly kind: 'fault'; readonly fault: Fault };

/** Between SIGHUP and SIGKILL. */
export const GRACE_MS = 1_000;
const PIECE_BYTES = 65_536;
/** A peer that has vanished without a word is noticed by its socket. */
const KEEP_ALIVE_MS = 30_000;

interface Seat {
  readonly reader: number;
  readonly principal: Principal;
  position: number;
  wire: Wire | undefined;
  isBlocked: boolean;
}

type Life =
  | { readonly kind: 'running' }
  /** SIGHUP was sent; SIGKILL follows. */
  | { readonly kind: 'ending'; readonly killer: Timer; readonly isUnwanted: boolean }
  | { readonly kind: 'exited'; readonly exit: TerminalExit }
  | { readonly kind: 'gone' };

export class Terminal {
  readonly terminalId: string;
  readonly subject: Subject;
  readonly clientId: string | undefined;
  readonly #options: TerminalOptions;
  readonly #ring: OutputRing;
  readonly #pty: Pty;
  readonly #startedAt: string;
  #size: TerminalSize;
  #life: Life = { kind: 'running' };
  /** The opener is the first one. */
  #reader = 1;
  #opener: Principal;
  #seat: Seat | undefined;
  #inputEnd = 0;
  #isPaused = false;
  /** Runs while nobody reads (rule 6). */
  #absence: Timer | undefined;

  constructor(options: TerminalOptions) {
    const { terminalId, subject, clientId, order, spawn, clock, windowBytes } = options;
    this.terminalId = terminalId;
    this.subject = subject;
    this.clientId = clientId;
    this.#options = options;
    this.#opener = options.opener;
    this.#ring = new OutputRing(windowBytes);
    this.#size = { cols: order.cols, rows: order.rows };
    this.#startedAt = new Date(clock.now()).toISOString();
    this.#pty = spawn(order, { onData: this.#onData, onEnd: this.#onEnd });
    this.#awaitReader();
  }

  get isOver(): boolean {
    return this.#life.kind === 'exited' || this.#life.kind === 'gone';
  }

  get isRead(): boolean {
    return this.#seat?.wire !== undefined;
  }

  get memoryBytes(): number {
    return this.#ring.memoryBytes;
  }

  get command(): readonly string[] {
    const { file, args } = this.#options.order;
    return [file, ...args];
  }

  status(): TerminalStatus {
    const { start, confirmed, end } = this.#ring;
    const exit = this.#life.kind === 'exited' ? this.#life.exit : null;
    return {
      terminalId: this.terminalId,
      state: exit === null ? 'running' : 'exited',
      exit,
      command: this.command,
      startedAt: this.#startedAt,
      ...this.#size,
      reader: this.#reader,
      start,
      confirmed,
      end,
      inputEnd: this.#inputEnd,
      paused: this.#isPaused,
      windowBytes: this.#options.windowBytes,
    };
  }

  // ── the reader ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Without a number it is a new reader (rule 3); without an offset it begins with what is still here. */
  attach(principal: Principal, from: { readonly reader?: number; readonly offset?: number }): Attached {
    if (from.reader !== undefined && from.reader !== this.#reader) return { kind: 'fault', fault: this.#taken() };
    const offset = from.offset ?? this.#ring.start;
    if (!this.#ring.begin(offset)) return { kind: 'fault', fault: this.#notHere(offset) };
    this.#dismiss();
    this.#reader = from.reader ?? this.#reader + 1;
    // Its access has been renewed since.
    if (principal.tokenId === this.#opener.tokenId) this.#opener = principal;
    const seat: Seat = { reader: this.#reader, principal, position: offset, wire: undefined, isBlocked: false };
    this.#seat = seat;
    this.#flow();
    return {
      kind: 'attached',
      reader: seat.reader,
      offset,
      inputEnd: this.#inputEnd,
      windowBytes: this.#options.windowBytes,
      open: (outgoing) => this.#open(seat, outgoing),
    };
  }

  /** The reader has what comes before `offset`. */
  confirm(reader: number, offset: number): Fault | undefined {
    if (reader !== this.#reader) return this.#taken();
    if (!this.#ring.confirm(offset)) return this.#notHere(offset);
    this.#flow();
    return undefined;
  }

  /** Breaks the stream of a reader whose token has ended; it may come back with another. Ends with the token that opened it. */
  checkToken(isValid: (principal: Principal) => boolean): void {
    if (this.#seat?.wire !== undefined && !isValid(this.#seat.principal)) this.#seat.wire.destroy();
    // R95: it ends with the token that opened it. One that has merely expired is replaced by another of the same person.
    const { expiresAt } = this.#opener;
    const hasExpired = expiresAt !== null && expiresAt <= this.#options.clock.now();
    if (!hasExpired && !isValid(this.#opener)) this.end(true);
  }

  #open(seat: Seat, outgoing: ServerResponse): void {
    // Another one came, or this one left, between its admission and its head.
    if (this.#seat !== seat || outgoing.destroyed) return void outgoing.destroy();
    outgoing.socket?.setKeepAlive(true, KEEP_ALIVE_MS);
    this.#absence?.cancel();
    seat.wire = openWire(outgoing, {
      onDrain: () => {
        seat.isBlocked = false;
        this.#send();
      },
      onClose: () => {
        seat.wire = undefined;
        if (this.#seat === seat) this.#awaitReader();
      },
    });
    this.#send();
  }

  #dismiss(): void {
    const wire = this.#seat?.wire;
    this.#seat = undefined;
    wire?.destroy();
    this.#awaitReader();
  }

  #send(): void {
    const seat = this.#seat;
    if (seat === undefined) return;
    while (seat.wire !== undefined && !seat.isBlocked && seat.position < this.#ring.end) {
      const bytes = this.#ring.read(seat.position, PIECE_BYTES);
      seat.position += bytes.length;
      seat.isBlocked = !seat.wire.write(chunkOf(bytes));
    }
    // Rule 5.
    if (this.#life.kind === 'exited' && seat.position === this.#ring.end) seat.wire?.end();
  }

  // ── input ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Rule 4. `offset`: of the first of these bytes in all that this terminal was given. */
  input(reader: number, offset: number, bytes: Uint8Array): Fault | undefined {
    if (reader !== this.#reader) return this.#taken();
    // What was typed may be what ended the process.
    if (offset + bytes.length <= this.#inputEnd) return undefined;
    if (this.isOver) return this.#ended();
    if (offset > this.#inputEnd)
      return fault(
        'invalid-offset',
        `The input so far has ${this.#inputEnd} bytes, and this would leave a gap before ${offset}. Send what is missing first.`,
        { facts: { inputEnd: this.#inputEnd } },
      );
    const fresh = bytes.subarray(this.#inputEnd - offset);
    if (!this.#pty.write(fresh))
      return fault('rate-limited', 'The process does not read its input. Send it again when it does.', {
        retryAfterMs: 500,
        facts: { inputEnd: this.#inputEnd },
      });
    this.#inputEnd += fresh.length;
    return undefined;
  }

  resize(reader: number, size: TerminalSize): Fault | undefined {
    if (this.isOver) return this.#ended();
    if (reader !== this.#reader) return this.#taken();
    this.#size = size;
    this.#pty.resize(size);
    return undefined;
  }

  // ── its end ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Hangs up. `isUnwanted`: nobody will ask for its exit. */
  end(isUnwanted: boolean): void {
    const life = this.#life;
    if (life.kind === 'exited' && isUnwanted) return this.#leave();
    if (life.kind === 'ending' && isUnwanted) this.#life = { ...life, isUnwanted };
    if (life.kind !== 'running') return;
    this.#life = {
      kind: 'ending',
      isUnwanted,
      killer: this.#options.clock.after(GRACE_MS, () => this.#pty.kill()),
    };
    this.#pty.hangUp();
  }

  readonly #onEnd = (exit: TerminalExit): void => {
    const before = this.#life;
    if (before.kind === 'ending') {
      before.killer.cancel();
      // The process is gone; what it left in its session goes the same way.
      this.#pty.kill();
    }
    this.#life = { kind: 'exited', exit };
    this.#send();
    if (before.kind === 'ending' && before.isUnwanted) return this.#leave();
    if (!this.isRead) this.#awaitReader();
  };

  #leave(): void {
    this.#life = { kind: 'gone' };
    this.#dismiss();
    this.#absence?.cancel();
    this.#options.onGone(this);
  }

  /** Rule 6. */
  #awaitReader(): void {
    this.#absence?.cancel();
    const { clock, idleMs, lingerMs } = this.#options;
    if (this.#life.kind === 'running') this.#absence = clock.after(idleMs, () => this.end(false));
    else if (this.#life.kind === 'exited') this.#absence = clock.after(lingerMs, () => this.#leave());
  }

  // ── output ────────────────────────────────────────────────────────────────────────────────────────────────────────

  readonly #onData = (bytes: Buffer): void => {
    this.#ring.write(bytes);
    this.#flow();
    this.#send();
  };

  /** Rule 2. */
  #flow(): void {
    if (this.#isPaused === this.#ring.isFull) return;
    this.#isPaused = this.#ring.isFull;
    if (this.#isPaused) this.#pty.pause();
    else this.#pty.resume();
  }

  // ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #taken(): Fault {
    return fault(
      'terminal-taken',
      'Another reader has this terminal now, or you have not begun to read it. Open its stream without a reader to take it over.',
      { facts: { reader: this.#reader } },
    );
  }

  #notHere(offset: number): Fault {
    const { start, end } = this.#ring;
    return fault(
      'invalid-offset',
      offset < start
        ? `The bytes from ${offset} on were confirmed and are gone; the first that is here is ${start}.`
        : `There is no byte ${offset} yet: the output so far ends at ${end}.`,
      { facts: { start, end } },
    );
  }

  #ended(): Fault {
    const exit = this.#life.kind === 'exited' ? this.#life.exit : null;
    return fault('terminal-ended', 'The process of this terminal has ended.', { facts: { exit } });
  }
}
