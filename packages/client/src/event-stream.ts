/**
 * A stream of sessions' entries that keeps its place whatever breaks (B1–B7).
 *
 * Who needs one holds an `EventStream`; `EventStreamClient` is one over the network, a shared stream is one that the tabs of
 * a browser have together. Both tell the same handlers the same things.
 *
 * Stages: a command, a hint or the end of an attempt is posted → `transition` decides → what the old state owned is ended
 * and what the new one owns is begun → frames become meanings (`places.ts`) → handlers.
 *
 * E1. One controller, one inbox, one event at a time: a handler that calls `stop` or `restart` posts like everybody.
 * E2. Attempts and timers are reached only through `#owned`; changing it ends the former (machine M1).
 * E3. A frame of an attempt that is over is dropped: whoever stopped hears nothing afterwards.
 * E4. The handle knows the controller, never the other way round: a dropped handle is collected while its stream reads, and
 *     then the stream is closed (B7). Handlers that hold the handle keep it alive.
 */
import type { Entry } from '@holdfast/protocol/entry';
import { fault, retryOf, type Fault } from '@holdfast/protocol/fault';
import type { SessionId } from '@holdfast/protocol/ids';
import type { Goodbye, Hello, SnapshotFrame } from '@holdfast/protocol/sse';
import type { SseEvent } from '@holdfast/protocol/sse-decode';

import { outcomeOf, startAttempt, type Attempt, type Outcome } from './attempt.ts';
import { systemClock } from './clock.ts';
import type { Credentials } from './credentials.ts';
import {
  INITIAL,
  ownedBy,
  RESTART_MS,
  transition,
  type MachineEvent,
  type MachineState,
} from './event-stream-machine.ts';
import { pageLifecycle } from './lifecycle.ts';
import { faultOfGoodbye, Places, type Meaning, type Place, type StreamTarget } from './places.ts';
import type { Ports, Timer } from './ports.ts';
import { streamPostWithRetry } from './post.ts';
import { systemRandom } from './random.ts';
import type { Transport } from './transport.ts';

export type { Place, StreamTarget } from './places.ts';

export type StreamState =
  /** Not running. `fault`: why it stopped by itself (retrying cannot help); absent after `stop`. */
  | { readonly kind: 'idle'; readonly fault?: Fault }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'reading' }
  /** Between two attempts. `fault`: what ended the last one. */
  | { readonly kind: 'waiting'; readonly delayMs: number; readonly fault: Fault }
  | { readonly kind: 'closed' };

export interface EventStream {
  readonly state: StreamState;
  /** No-op while running. */
  start(): void;
  /** Ends what runs; places are kept. No-op when nothing does. */
  stop(): void;
  /** Another attempt in place of the running one, which ends at once. Restarts within 250 ms become one attempt. */
  restart(): void;
  /** The person is there (sent something, came back): do not sit out a pause. */
  nudge(): void;
  /** Follow a session from `place`. Following one already does nothing. */
  add(sessionId: SessionId, place: Place): void;
  remove(sessionId: SessionId): void;
  /** Follow the session list too, or anew: its changes after a revision; null: all rows first. */
  follow(feed: number | null): void;
  /** Final. Resolves when every task, timer and socket of it is gone. */
  close(): Promise<void>;
}

export interface EventStreamHandlers {
  /** Swap what is shown for `frame.view` and go on from it; with `reason` it answers a cursor that was not served. */
  snapshot(frame: SnapshotFrame): void;
  /** In order, without gap or repetition, per session. `cursor` is its place: keep it together with what was made of it. */
  entry(sessionId: SessionId, entry: Entry, cursor: string): void;
  /** A frame of the feed and its revision. */
  feed?(data: unknown, revision: number): void;
  hello?(hello: Hello): void;
  /** A stream of sessions follows this one no more: deleted, not there, not allowed. */
  gone?(sessionId: SessionId, reason: Fault): void;
  state?(state: StreamState): void;
  /** Another handler threw. The stream goes on (R16). Default: the console. */
  error?(error: unknown): void;
}

export interface EventStreamOptions {
  readonly transport: Transport;
  /** Without a slash at its end. */
  readonly baseUrl: string;
  readonly credentials?: Credentials;
  /** `session`: one, by GET. `sessions`: any number and the feed, multiplexed on one socket (R50). */
  readonly target: StreamTarget;
  readonly handlers: EventStreamHandlers;
  readonly ports?: Partial<Ports>;
}

/** For who passes the frames on as they are: hears each one before it is read. */
type Tap = (event: SseEvent) => void;

/** E4: what one holds of a stream. The stream is closed when it is dropped. */
export class EventStreamHandle implements EventStream {
  readonly #stream: EventStream;

  constructor(stream: EventStream) {
    this.#stream = stream;
    dropped.register(this, stream, this);
  }

  get state(): StreamState {
    return this.#stream.state;
  }

  start(): void {
    this.#stream.start();
  }

  stop(): void {
    this.#stream.stop();
  }

  restart(): void {
    this.#stream.restart();
  }

  nudge(): void {
    this.#stream.nudge();
  }

  add(sessionId: SessionId, place: Place): void {
    this.#stream.add(sessionId, place);
  }

  remove(sessionId: SessionId): void {
    this.#stream.remove(sessionId);
  }

  follow(feed: number | null): void {
    this.#stream.follow(feed);
  }

  close(): Promise<void> {
    dropped.unregister(this);
    return this.#stream.close();
  }
}

const dropped = new FinalizationRegistry<EventStream>((stream) => void stream.close());

export class EventStreamClient extends EventStreamHandle {
  constructor(options: EventStreamOptions) {
    super(new StreamController(options));
  }
}

/** What a state owns. */
type Owned =
  | { readonly kind: 'attempt'; readonly attempt: Attempt }
  | { readonly kind: 'timer'; readonly timer: Timer };

export class StreamController implements EventStream {
  readonly #options: EventStreamOptions;
  readonly #tap: Tap | undefined;
  readonly #ports: Ports;
  readonly #places: Places;
  readonly #inbox: MachineEvent[] = [];
  #draining = false;
  #machine: MachineState = INITIAL;
  #owned: Owned | undefined;
  /** The subscriptions of a running stream. */
  #unsubscribe: (() => void) | undefined;
  readonly #tasks = new Set<Promise<void>>();
  /** Names the stream that is read, where it can be changed. */
  #streamId: string | undefined;
  #changing = false;
  state: StreamState = { kind: 'idle' };

  constructor(options: EventStreamOptions, tap?: Tap) {
    this.#options = options;
    this.#tap = tap;
    this.#ports = { clock: systemClock, random: systemRandom, lifecycle: pageLifecycle(), ...options.ports };
    this.#places = new Places(options.target);
  }

  start(): void {
    this.post({ kind: 'start' });
  }

  stop(): void {
    this.post({ kind: 'stop' });
  }

  restart(): void {
    this.post({ kind: 'restart' });
  }

  nudge(): void {
    this.post({ kind: 'nudge' });
  }

  post(event: MachineEvent): void {
    this.#inbox.push(event);
    if (this.#draining) return; // E1
    this.#draining = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
        this.#settle(transition(this.#machine, next));
        if (next.kind === 'visible' || next.kind === 'online' || next.kind === 'nudge') this.#probe();
      }
    } finally {
      this.#draining = false;
    }
  }

  add(sessionId: SessionId, place: Place): void {
    if (this.#places.add(sessionId, place)) this.#tellChange();
  }

  remove(sessionId: SessionId): void {
    if (this.#places.remove(sessionId)) this.#tellChange();
  }

  /** Where it stands; undefined where it does not follow. */
  at(sessionId: SessionId): Place | undefined {
    return this.#places.at(sessionId);
  }

  /** Follow from there, though it is followed already. */
  move(sessionId: SessionId, place: Place): void {
    this.#places.move(sessionId, place);
    this.#tellChange();
  }

  follow(feed: number | null): void {
    this.#places.moveFeed(feed);
    this.#tellChange();
  }

  get feed(): number | null | undefined {
    return this.#places.feed;
  }

  async close(): Promise<void> {
    this.post({ kind: 'close' });
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }

  // ------------------------------------------------------------------------------------------------ state and resources

  #settle(state: MachineState): void {
    const former = this.#machine;
    if (state === former) return;
    this.#machine = state;
    if (ownedBy(state) !== ownedBy(former)) {
      this.#disown();
      this.#owned = this.#begin(state);
    }
    const runs = state.kind !== 'idle' && state.kind !== 'closed';
    if (runs) this.#unsubscribe ??= this.#subscribe();
    else {
      this.#unsubscribe?.();
      this.#unsubscribe = undefined;
    }
    if (state.kind !== former.kind || state.kind === 'waiting') this.#publish(state);
  }

  #disown(): void {
    this.#streamId = undefined;
    if (this.#owned?.kind === 'attempt') this.#owned.attempt.end();
    else this.#owned?.timer.cancel();
    this.#owned = undefined;
  }

  #begin(state: MachineState): Owned | undefined {
    switch (state.kind) {
      case 'connecting':
      case 'reading':
        return { kind: 'attempt', attempt: this.#startAttempt(state.attempt) };
      case 'waiting':
      case 'pacing': {
        const { attempt } = state;
        const delayMs = state.kind === 'pacing' ? RESTART_MS : state.delayMs;
        return { kind: 'timer', timer: this.#ports.clock.after(delayMs, () => this.post({ kind: 'due', attempt })) };
      }
      case 'idle':
      case 'closed':
        return undefined;
    }
  }

  #startAttempt(number: number): Attempt {
    const { transport, baseUrl, credentials } = this.#options;
    let progressed = false;
    const attempt = startAttempt({
      transport,
      baseUrl,
      credentials,
      clock: this.#ports.clock,
      request: this.#places.request(),
      opened: (token) => {
        this.post({ kind: 'opened', attempt: number });
        // A token that came while this one was asked with the old one.
        if (token !== credentials?.token()) this.post({ kind: 'rotate' });
      },
      receive: (event) => {
        this.#tap?.(event);
        const meaning = this.#places.read(event);
        if (!progressed && isProgress(meaning)) {
          progressed = true;
          this.post({ kind: 'progress', attempt: number });
        }
        return this.#act(meaning, attempt);
      },
    });
    const ended = attempt.outcome.catch((error: unknown): Outcome => {
      this.#fail(error);
      return { kind: 'retryable', fault: fault('internal', `The client made an error: ${String(error)}`) };
    });
    this.#track(ended.then((outcome) => this.#afterAttempt(number, outcome)));
    return attempt;
  }

  #afterAttempt(attempt: number, outcome: Outcome): void {
    if (outcome.kind === 'drained') return this.post({ kind: 'ended', attempt });
    const { fault } = outcome;
    if (outcome.kind === 'fatal') return this.post({ kind: 'ended', attempt, fault });
    if (fault.kind !== 'protocol-error' && retryOf(fault.kind) === 'resync') this.#places.forget();
    this.post({ kind: 'lost', attempt, fault, roll: this.#ports.random() });
  }

  #track(task: Promise<void>): void {
    const tracked = task.finally(() => this.#tasks.delete(tracked));
    this.#tasks.add(tracked);
  }

  #subscribe(): () => void {
    const { credentials } = this.#options;
    const ends = [
      this.#ports.lifecycle.subscribe((hint) => this.post({ kind: hint })),
      credentials?.subscribe(() => this.post({ kind: 'rotate' })),
    ];
    return () => ends.forEach((end) => end?.());
  }

  #probe(): void {
    if (this.#owned?.kind === 'attempt') this.#owned.attempt.probe();
  }

  // -------------------------------------------------------------------------------------------------- frames to handlers

  #act(meaning: Meaning, attempt: Attempt): Outcome | undefined {
    const { handlers } = this.#options;
    switch (meaning.kind) {
      case 'entry':
        // Not by `#tell`: a closure for each token would be its dearest part.
        try {
          handlers.entry(meaning.sessionId, meaning.entry, meaning.cursor);
        } catch (error) {
          this.#fail(error);
        }
        return undefined;
      case 'snapshot':
        this.#tell(() => handlers.snapshot(meaning.frame));
        return undefined;
      case 'feed':
        this.#tell(() => handlers.feed?.(meaning.data, meaning.revision));
        return undefined;
      case 'hello':
        attempt.setHeartbeat(meaning.hello.heartbeatMs);
        this.#streamId = meaning.hello.streamId;
        this.#tell(() => handlers.hello?.(meaning.hello));
        this.#tellChange();
        return undefined;
      case 'goodbye':
        return this.#part(meaning.goodbye);
      case 'gap':
        this.#places.move(meaning.sessionId, null);
        return { kind: 'retryable', fault: meaning.fault };
      case 'broken':
        return { kind: 'retryable', fault: meaning.fault };
      case 'nothing':
        return undefined;
    }
  }

  /** The end that the server announces: of the stream, or of one session's part. */
  #part(goodbye: Goodbye): Outcome | undefined {
    const { reason, sessionId } = goodbye;
    const why = faultOfGoodbye(goodbye);
    // An expired token is renewed by the next attempt, which gets a 401.
    if (reason === 'auth-expired') return { kind: 'retryable', fault: why };
    // A part that may come back comes back with the whole: a new stream goes on from all places.
    if (sessionId === undefined || retryOf(why.kind) === 'later') return outcomeOf(why);
    this.#places.drop(sessionId);
    this.#tell(() => this.#options.handlers.gone?.(sessionId, why));
    return undefined;
  }

  #publish(state: MachineState): void {
    switch (state.kind) {
      case 'waiting':
        this.state = { kind: 'waiting', delayMs: state.delayMs, fault: state.fault };
        break;
      case 'idle':
        this.state = state.fault === undefined ? { kind: 'idle' } : { kind: 'idle', fault: state.fault };
        break;
      default:
        this.state = { kind: state.kind === 'pacing' ? 'connecting' : state.kind };
    }
    this.#tell(() => this.#options.handlers.state?.(this.state));
  }

  /** R16: a reader's mistake is its own. */
  #tell(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const { handlers } = this.#options;
    try {
      if (handlers.error === undefined) console.error(error);
      else handlers.error(error);
    } catch (again) {
      console.error(again);
    }
  }

  // --------------------------------------------------------------------------------- changing what a running stream follows

  /** Changes of one turn of the event loop go out together, and one after the other. */
  #tellChange(): void {
    if (this.#changing || this.#streamId === undefined) return;
    this.#changing = true;
    this.#track(this.#sendChanges());
  }

  async #sendChanges(): Promise<void> {
    try {
      await Promise.resolve();
      while (this.#owned?.kind === 'attempt' && this.#streamId !== undefined) {
        const { signal } = this.#owned.attempt;
        const change = this.#places.change();
        if (change === undefined) return;
        const sent = await this.#sendChange(this.#streamId, change, signal);
        // Another node, or a stream that is gone: the next attempt tells everything.
        if (!sent && !signal.aborted) this.post({ kind: 'rotate' });
      }
    } finally {
      this.#changing = false;
    }
  }

  async #sendChange(streamId: string, json: unknown, signal: AbortSignal): Promise<boolean> {
    const { transport, baseUrl, credentials } = this.#options;
    const url = `${baseUrl}/v1/events/${streamId}`;
    try {
      const { status, body } = await streamPostWithRetry(transport.short, { url, json, signal }, credentials);
      await body.text();
      return status >= 200 && status < 300;
    } catch {
      return false;
    }
  }
}

const isProgress = ({ kind }: Meaning): boolean => kind === 'entry' || kind === 'snapshot' || kind === 'feed';
