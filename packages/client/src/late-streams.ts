/**
 * The streams while the code for them is on its way, and in place of it where it does not come.
 *
 * Stages: it is asked for → who follows waits → it is there, and streams begin for all of them; or it does not come, and what
 * they follow is asked for every `ASK_MS`, until it does.
 *
 * 1. Asking shows the same as a stream, a little later and in larger steps: a snapshot is swapped in place, whatever was missed.
 * 2. A request that fails is a lost connection: who follows is told so (`waiting`), and the next one comes after a back-off, or
 *    with a sign of life.
 * 3. Who waits for the code holds nothing: a client that was dropped meanwhile is collected (B7).
 */
import type { Fault, FaultKind } from '@holdfast/protocol/fault';
import type { SessionId } from '@holdfast/protocol/ids';
import type { SnapshotFrame } from '@holdfast/protocol/sse';

import { backoffMs } from './backoff.ts';
import type { StreamState } from './event-stream.ts';
import type { LiveOptions } from './live.ts';
import { liveIfThere, loadLive } from './live-part.ts';
import type { Timer } from './ports.ts';
import type { Requests } from './requests.ts';
import type { FeedLane, Lane, Streams } from './streams.ts';

const ASK_MS = 1_000;
const ASK_MS_MAX = 30_000;

export interface LateOptions extends LiveOptions {
  readonly requests: Requests;
  /** For tests of a part that does not come. */
  readonly load?: typeof loadLive;
}

/** The streams, now or as soon as can be. */
export function openStreams(options: LateOptions): Streams {
  return liveIfThere()?.openStreams(options) ?? new LateStreams(options);
}

/** Somebody who follows. */
interface Want {
  readonly lane: Pick<Lane, 'state'>;
  readonly begin: (streams: Streams) => () => void;
  /** @returns why it could not be told anything. */
  readonly ask: () => Promise<Fault | undefined>;
  end?: () => void;
}

export class LateStreams implements Streams {
  readonly #options: LateOptions;
  readonly #wants = new Set<Want>();
  #streams: Streams | undefined;
  #state: StreamState = { kind: 'connecting' };
  #failures = 0;
  /** The pause before the next round of questions. */
  #pause: Timer | undefined;
  #closed = false;

  constructor(options: LateOptions) {
    this.#options = options;
    this.#load();
  }

  get count(): number {
    return this.#streams?.count ?? 0;
  }

  follow(sessionId: SessionId, place: Parameters<Streams['follow']>[1], lane: Lane): () => void {
    return this.#want({
      lane,
      begin: (streams) => streams.follow(sessionId, place, lane),
      ask: () => this.#askSession(sessionId, lane),
    });
  }

  feed(lane: FeedLane): () => void {
    return this.#want({ lane, begin: (streams) => streams.feed(lane), ask: () => this.#askList(lane) });
  }

  nudge(): void {
    this.#streams?.nudge();
    this.#goOn();
  }

  resume(): void {
    this.#streams?.resume();
    this.#goOn();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#pause?.cancel();
    await this.#streams?.close();
  }

  #want(want: Want): () => void {
    if (this.#streams !== undefined) return want.begin(this.#streams);
    this.#wants.add(want);
    this.#tell();
    this.#goOn();
    return () => {
      want.end?.();
      if (this.#wants.delete(want)) this.#tell();
    };
  }

  #load(): void {
    const { load = loadLive } = this.#options;
    const ifHeld = this.#weakly();
    void load().then(
      (part) => ifHeld((it) => it.#begin(part.openStreams(it.#options))),
      () => ifHeld((it) => void it.#askAll()),
    );
  }

  /** Does not sit out the pause. */
  #goOn(): void {
    if (this.#pause === undefined) return;
    this.#pause.cancel();
    this.#pause = undefined;
    this.#load();
  }

  #begin(streams: Streams): void {
    if (this.#closed) return;
    this.#streams = streams;
    for (const want of this.#wants) want.end = want.begin(streams);
    this.#wants.clear();
  }

  #tell(): void {
    for (const { lane } of this.#wants) lane.state(this.#state);
    this.#options.onState(this.#wants.size > 0 ? [this.#state] : []);
  }

  /** Rule 3. */
  #weakly(): (use: (it: LateStreams) => void) => void {
    const ref = new WeakRef(this);
    return (use) => {
      const it = ref.deref();
      if (it !== undefined) use(it);
    };
  }

  // ── in place of streams ───────────────────────────────────────────────────────────────────────────────────────────

  async #askAll(): Promise<void> {
    const faults = await Promise.all([...this.#wants].map((want) => want.ask()));
    if (this.#closed) return;
    const { clock, random } = this.#options.base.ports;
    const failure = faults.find((it) => it !== undefined);
    const delayMs = ASK_MS + (failure === undefined ? 0 : backoffMs(this.#failures, ASK_MS, ASK_MS_MAX) * random());
    this.#failures = failure === undefined ? 0 : this.#failures + 1;
    this.#state = failure === undefined ? { kind: 'reading' } : { kind: 'waiting', delayMs, fault: failure }; // 2
    this.#tell();
    const ifHeld = this.#weakly();
    this.#pause = clock.after(delayMs, () => ifHeld((it) => it.#goOn()));
  }

  async #askSession(sessionId: SessionId, lane: Lane): Promise<Fault | undefined> {
    const answer = await this.#options.requests.once('GET', `/v1/sessions/${sessionId}`);
    if (answer.kind === 'ok') lane.snapshot({ ...(answer.body as Omit<SnapshotFrame, 'sessionId'>), sessionId }); // 1
    else if (ABOUT_SESSION.has(answer.fault.kind)) lane.gone(answer.fault);
    else return answer.fault;
    return undefined;
  }

  /** The newest page of it. */
  async #askList(lane: FeedLane): Promise<Fault | undefined> {
    const answer = await this.#options.requests.once('GET', '/v1/sessions?limit=50');
    if (answer.kind === 'fault') return answer.fault;
    const { sessions } = answer.body as { readonly sessions: readonly unknown[] };
    for (const summary of sessions) lane.item({ type: 'session', summary }, 0);
    return undefined;
  }
}

const ABOUT_SESSION: ReadonlySet<FaultKind> = new Set(['session-not-found', 'session-deleted', 'forbidden']);
