/**
 * The streams while the code for them is on its way, and in place of it where it does not come.
 *
 * Stages: it is asked for, and so is what is followed → it is there: streams begin where the answers stopped; or it does not come:
 * what is followed is asked for again and again, and so is the code.
 *
 * 1. Asking shows the same as a stream, a little later and in larger steps: a snapshot is swapped in place, whatever was missed.
 * 2. What fails is a lost connection: who follows is told so (`waiting`), and asks again after a back-off or at a sign of life; or
 *    not before there are new credentials (`idle`), as with a stream. Asking takes a quarter of the time at most.
 * 3. Whoever has ended hears nothing more.
 * 4. Neither the wait for the code nor a pause holds who follows: a client that was dropped meanwhile is collected (B7).
 */
import { retryOf, type Fault, type FaultKind } from '@holdfast/protocol/fault';
import type { SessionId } from '@holdfast/protocol/ids';
import type { SnapshotFrame } from '@holdfast/protocol/sse';

import { backoffMs } from './backoff.ts';
import type { StreamState } from './event-stream.ts';
import type { LiveOptions } from './live.ts';
import { liveIfThere, loadLive } from './live-part.ts';
import type { Place } from './places.ts';
import type { Timer } from './ports.ts';
import type { Requests } from './requests.ts';
import type { FeedLane, Lane, Streams } from './streams.ts';
import { weakly } from './weakly.ts';

const ASK_MS = 1_000;
const ASK_MS_MAX = 30_000;

export interface LateOptions extends LiveOptions {
  readonly requests: Requests;
}

/** The streams, now or as soon as can be; never over a transport that cannot stream. */
export function openStreams(options: LateOptions): Streams {
  return liveIfThere()?.openStreams(options) ?? new LateStreams(options);
}

/** What somebody follows. */
interface Wanted {
  readonly path: string;
  /** Whether whoever follows has asked for it already, a moment ago. */
  readonly isKnown: boolean;
  take(body: unknown): void;
  /** There is nothing to follow. */
  gone?(why: Fault): void;
  tell(state: StreamState): void;
  begin(streams: Streams): () => void;
}

interface Want extends Wanted {
  /** Now, if it is not being done. */
  readonly ask: () => void;
  state: StreamState;
  failures: number;
  isAsked: boolean;
  pause: Timer | undefined;
  end: (() => void) | undefined;
}

class LateStreams implements Streams {
  readonly #options: LateOptions;
  readonly #wants = new Set<Want>();
  #streams: Streams | undefined;
  #loading = false;

  constructor(options: LateOptions) {
    this.#options = options;
    this.#load();
  }

  get count(): number {
    return this.#streams?.count ?? 0;
  }

  follow(sessionId: SessionId, place: Place, lane: Lane): () => void {
    let at = place;
    return this.#follow({
      path: `/v1/sessions/${sessionId}`,
      isKnown: false,
      take(body) {
        const frame = { ...(body as Omit<SnapshotFrame, 'sessionId'>), sessionId };
        at = frame.cursor;
        lane.snapshot(frame);
      },
      gone: (why) => lane.gone(why),
      tell: (state) => lane.state(state),
      begin: (streams) => streams.follow(sessionId, at, lane),
    });
  }

  /** Of the list, its newest page. */
  feed(lane: FeedLane, after: number | null): () => void {
    return this.#follow({
      path: '/v1/sessions?limit=50',
      isKnown: after !== null,
      take(body) {
        const { sessions } = body as { readonly sessions: readonly unknown[] };
        for (const summary of sessions) lane.item({ type: 'session', summary }, after ?? 0);
      },
      tell: (state) => lane.state(state),
      begin: (streams) => streams.feed(lane, after),
    });
  }

  nudge(): void {
    this.#streams?.nudge();
    this.#askNow();
  }

  resume(): void {
    this.#streams?.resume();
    this.#askNow();
  }

  async close(): Promise<void> {
    for (const want of this.#wants) this.#drop(want);
    await this.#streams?.close();
  }

  #follow(wanted: Wanted): () => void {
    if (this.#streams !== undefined) return wanted.begin(this.#streams);
    const want: Want = {
      ...wanted,
      ask: () => void this.#ask(want).catch(this.#options.onError),
      state: { kind: wanted.isKnown ? 'reading' : 'connecting' },
      failures: 0,
      isAsked: false,
      pause: undefined,
      end: undefined,
    };
    this.#wants.add(want);
    this.#tell(want);
    if (want.isKnown) this.#pause(want, ASK_MS);
    else want.ask();
    return () => {
      want.end?.();
      if (this.#drop(want)) this.#tellAll();
    };
  }

  /** @returns whether it was wanted still. */
  #drop(want: Want): boolean {
    want.pause?.cancel();
    return this.#wants.delete(want);
  }

  #tell(want: Want): void {
    want.tell(want.state);
    this.#tellAll();
  }

  #tellAll(): void {
    this.#options.onState([...this.#wants].map((want) => want.state));
  }

  // ── the code ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Again, where it did not come. */
  #load(): void {
    // React Native's own `fetch` gives no body before it is whole, so no stream. Of a transport that was given we know nothing.
    if (this.#loading || !(this.#options.transport || 'body' in Response.prototype)) return;
    this.#loading = true;
    const ifHeld = weakly<LateStreams>(this);
    void loadLive()
      .then(
        (live) => ifHeld((it) => it.#begin(live.openStreams(it.#options))),
        () => ifHeld((it) => (it.#loading = false)),
      )
      .catch((error: unknown) => ifHeld((it) => it.#options.onError(error)));
  }

  #begin(streams: Streams): void {
    this.#streams = streams;
    for (const want of this.#wants) {
      this.#drop(want);
      want.end = want.begin(streams);
    }
  }

  // ── in place of streams ───────────────────────────────────────────────────────────────────────────────────────────

  async #ask(want: Want): Promise<void> {
    if (want.isAsked) return;
    want.isAsked = true;
    want.pause?.cancel();
    this.#load();
    const { clock, random } = this.#options.base.ports;
    const askedAt = clock.now();
    const answer = await this.#options.requests.once('GET', want.path);
    want.isAsked = false;
    if (!this.#wants.has(want)) return; // 3
    if (answer.kind === 'ok') {
      want.take(answer.body); // 1
      want.failures = 0;
      want.state = { kind: 'reading' };
    } else {
      const { fault } = answer;
      if (want.gone !== undefined && ABOUT_SESSION.has(fault.kind)) return want.gone(fault);
      want.state = stateAfter(fault, backoffMs(want.failures++, ASK_MS, ASK_MS_MAX) * random());
    }
    this.#tell(want);
    this.#pause(want, 3 * (clock.now() - askedAt));
  }

  #pause(want: Want, atLeastMs: number): void {
    const { state } = want;
    if (state.kind === 'idle') return;
    const delayMs = Math.max(ASK_MS, state.kind === 'waiting' ? state.delayMs : atLeastMs);
    const ifHeld = weakly(want); // 4
    want.pause = this.#options.base.ports.clock.after(delayMs, () => ifHeld((it) => it.ask()));
  }

  #askNow(): void {
    for (const want of this.#wants) want.ask();
  }
}

const ABOUT_SESSION: ReadonlySet<FaultKind> = new Set(['session-not-found', 'session-deleted', 'forbidden']);

/** 2. */
function stateAfter(fault: Fault, backoffMs: number): StreamState {
  const retry = retryOf(fault.kind);
  if (retry === 'no' || retry === 'auth') return { kind: 'idle', fault };
  return { kind: 'waiting', delayMs: fault.retryAfterMs ?? backoffMs, fault };
}
