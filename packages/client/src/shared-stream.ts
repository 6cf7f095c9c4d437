/**
 * One stream for all tabs of a browser (R50): the leader reads it and passes every frame on, the others read those frames as
 * if they had come from the network, each with its own places.
 *
 * Stages: a tab joins → the lead is decided (`tab-lead.ts`) → the leader opens a stream of what all tabs want → its frames go
 * to its own reader and over the channel → a reader that finds a hole asks the leader to go back to its place.
 *
 * H1. Places are each tab's own, and a place moves only by what that tab has handed out. So a take-over is a resume, and
 *     frames that come twice (two leaders for a moment, a stream that went back for another tab) are dropped.
 * H2. Nothing about a session lives in the leader alone: a new one is told by each tab what it wants, and from where.
 * H3. A tab that says nothing for `TAB_SILENT_MS` is forgotten; what only it wanted is followed no more. If it lives after
 *     all it hears the next beat's leader and says what it wants again.
 * H4. The feed is told at least once, by revision: its items are states, not steps.
 * H5. How the stream stands is told when it changes, and to everybody who asks for something.
 */
import { retryOf } from '@holdfast/protocol/fault';
import type { SessionId } from '@holdfast/protocol/ids';
import type { SseEvent } from '@holdfast/protocol/sse-decode';

import { systemClock } from './clock.ts';
import {
  EventStreamHandle,
  StreamController,
  type EventStream,
  type EventStreamOptions,
  type Place,
  type StreamState,
} from './event-stream.ts';
import { pageLifecycle } from './lifecycle.ts';
import { newId } from './new-id.ts';
import { faultOfGoodbye, Places, seqOf, type StreamTarget } from './places.ts';
import type { Ports, TabLocks } from './ports.ts';
import { systemRandom } from './random.ts';
import { TabLead, type LeadMessage } from './tab-lead.ts';

export interface SharedStreamOptions extends EventStreamOptions {
  readonly target: Extract<StreamTarget, { kind: 'sessions' }>;
  /** Tabs with the same name share: one for each gateway and person. */
  readonly name: string;
  readonly channel?: (name: string) => TabChannel;
  /** Web Locks; null: do without. Those of the platform, where it has them. */
  readonly locks?: TabLocks | null;
}

/** The part of a `BroadcastChannel` that is used. */
export interface TabChannel {
  postMessage(message: unknown): void;
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
  close(): void;
}

interface Wants {
  readonly places: Readonly<Record<SessionId, Place>>;
  readonly feed?: number | null;
}

type TabMessage = { readonly from: string } & (
  | { readonly kind: 'lead'; readonly message: LeadMessage }
  /** Of the leader. */
  | { readonly kind: 'events'; readonly events: readonly SseEvent[] }
  | { readonly kind: 'state'; readonly state: StreamState }
  /** To the leader. */
  | { readonly kind: 'want'; readonly wants: Wants }
  | { readonly kind: 'unwant'; readonly sessionIds: readonly SessionId[] }
  | { readonly kind: 'command'; readonly command: 'restart' | 'nudge' }
  | { readonly kind: 'here' | 'bye' }
);
type TabMessageBody = TabMessage extends infer M ? (M extends TabMessage ? Omit<M, 'from'> : never) : never;

const HERE_MS = 60_000;
const TAB_SILENT_MS = 5 * HERE_MS;

export function openSharedStream(options: SharedStreamOptions): EventStream {
  return new EventStreamHandle(new SharedStream(options));
}

class SharedStream implements EventStream {
  readonly #options: SharedStreamOptions;
  readonly #ports: Ports;
  readonly #places: Places;
  /** Sessions whose replay was asked for and has not come: what is ahead of it is dropped in silence. */
  readonly #asked = new Set<SessionId>();
  #membership: Membership | undefined;
  #state: StreamState = { kind: 'idle' };
  #closing: Promise<void> | undefined;

  constructor(options: SharedStreamOptions) {
    this.#options = options;
    this.#ports = { clock: systemClock, random: systemRandom, lifecycle: pageLifecycle(), ...options.ports };
    this.#places = new Places(options.target);
  }

  get state(): StreamState {
    return this.#state;
  }

  start(): void {
    if (this.#closing !== undefined) return;
    // Stopped by a fault: whoever starts it has what was missing, and the leader may not have it.
    if (this.#membership !== undefined) return this.#state.kind === 'idle' ? this.#membership.claim() : undefined;
    this.#publish({ kind: 'connecting' });
    this.#asked.clear();
    this.#membership = new Membership(this.#options, this.#ports, {
      wants: () => ({ places: this.#places.all, ...feedOf(this.#places) }),
      asking: () => Object.keys(this.#places.all).forEach((id) => this.#asked.add(id as SessionId)),
      take: (event) => this.#take(event),
      state: (state) => this.#publish(state),
    });
  }

  stop(): void {
    if (this.#membership === undefined) return;
    void this.#leave();
    this.#publish({ kind: 'idle' });
  }

  restart(): void {
    if (this.#membership === undefined) this.start();
    else this.#membership.command('restart');
  }

  nudge(): void {
    this.#membership?.command('nudge');
  }

  add(sessionId: SessionId, place: Place): void {
    if (!this.#places.add(sessionId, place)) return;
    this.#asked.add(sessionId);
    this.#membership?.want({ places: { [sessionId]: place } });
  }

  remove(sessionId: SessionId): void {
    if (this.#places.remove(sessionId)) this.#membership?.unwant(sessionId);
  }

  follow(feed: number | null): void {
    this.#places.moveFeed(feed);
    this.#membership?.want({ places: {}, feed });
  }

  close(): Promise<void> {
    this.#closing ??= this.#leave().then(() => this.#publish({ kind: 'closed' }));
    return this.#closing;
  }

  #leave(): Promise<void> {
    const membership = this.#membership;
    this.#membership = undefined;
    return membership?.close() ?? Promise.resolve();
  }

  /** A frame of the leader's stream, which may be this tab's own. */
  #take(event: SseEvent): void {
    const { handlers } = this.#options;
    const meaning = this.#places.read(event);
    switch (meaning.kind) {
      case 'entry':
        this.#asked.delete(meaning.sessionId);
        return this.#tell(() => handlers.entry(meaning.sessionId, meaning.entry, meaning.cursor));
      case 'snapshot':
        this.#asked.delete(meaning.frame.sessionId);
        return this.#tell(() => handlers.snapshot(meaning.frame));
      case 'feed':
        return this.#tell(() => handlers.feed?.(meaning.data, meaning.revision));
      case 'hello':
        return this.#tell(() => handlers.hello?.(meaning.hello));
      case 'gap': {
        const { sessionId } = meaning;
        if (this.#asked.has(sessionId)) return;
        this.#asked.add(sessionId);
        const place = this.#places.at(sessionId) ?? null;
        return this.#membership?.want({ places: { [sessionId]: place } });
      }
      case 'goodbye': {
        const { sessionId } = meaning.goodbye;
        const why = faultOfGoodbye(meaning.goodbye);
        if (sessionId === undefined || retryOf(why.kind) === 'later') return;
        if (this.#places.remove(sessionId)) this.#tell(() => handlers.gone?.(sessionId, why));
        return;
      }
      case 'broken':
      case 'nothing':
    }
  }

  #publish(state: StreamState): void {
    if (JSON.stringify(state) === JSON.stringify(this.#state)) return;
    this.#state = state;
    this.#tell(() => this.#options.handlers.state?.(state));
  }

  #tell(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      const { handlers } = this.#options;
      if (handlers.error === undefined) console.error(error);
      else handlers.error(error);
    }
  }
}

interface MembershipHost {
  wants(): Wants;
  /** All of `wants` is being asked for. */
  asking(): void;
  take(event: SseEvent): void;
  state(state: StreamState): void;
}

/** From joining the tabs to leaving them. */
class Membership {
  readonly #id: string = newId('tab');
  readonly #options: SharedStreamOptions;
  readonly #ports: Ports;
  readonly #host: MembershipHost;
  readonly #channel: TabChannel;
  readonly #lead: TabLead;
  #leadership: Leadership | undefined;
  readonly #ending = new Set<Promise<void>>();
  #hereAt = 0;
  #closed = false;

  constructor(options: SharedStreamOptions, ports: Ports, host: MembershipHost) {
    const { name, locks = platformLocks() } = options;
    this.#options = options;
    this.#ports = ports;
    this.#host = host;
    this.#channel = options.channel?.(name) ?? new BroadcastChannel(name);
    this.#channel.addEventListener('message', ({ data }) => this.#receive(data as TabMessage));
    this.#lead = new TabLead({
      id: this.#id,
      lockName: `${name}-lead`,
      locks,
      ports,
      post: (message) => this.#post({ kind: 'lead', message }),
      changed: (leader) => this.#changed(leader),
    });
  }

  claim(): void {
    if (this.#leadership === undefined) this.#lead.claim();
    else this.#leadership.controller.start();
  }

  want(wants: Wants): void {
    if (this.#leadership === undefined) this.#post({ kind: 'want', wants });
    else this.#leadership.want(this.#id, wants);
  }

  unwant(sessionId: SessionId): void {
    if (this.#leadership === undefined) this.#post({ kind: 'unwant', sessionIds: [sessionId] });
    else this.#leadership.unwant(this.#id, [sessionId]);
  }

  command(command: 'restart' | 'nudge'): void {
    if (this.#leadership === undefined) this.#post({ kind: 'command', command });
    else this.#leadership.controller[command]();
  }

  async close(): Promise<void> {
    this.#post({ kind: 'bye' });
    this.#lead.close();
    this.#stepDown();
    this.#closed = true;
    this.#channel.close();
    await Promise.all(this.#ending);
  }

  #post(message: TabMessageBody): void {
    if (this.#closed) return;
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel is of one origin by nature
    this.#channel.postMessage({ ...message, from: this.#id });
  }

  #changed(leader: string | null | undefined): void {
    if (leader === undefined) return this.#stepUp();
    this.#stepDown();
    if (leader === null) return this.#host.state({ kind: 'connecting' });
    this.#host.asking();
    this.#post({ kind: 'want', wants: this.#host.wants() }); // H2
  }

  #stepUp(): void {
    this.#host.asking();
    this.#leadership = new Leadership(this.#options, this.#ports, this.#id, this.#host.wants(), {
      events: (events) => this.#post({ kind: 'events', events }),
      take: (event) => this.#host.take(event),
      state: (state) => {
        this.#host.state(state);
        this.#post({ kind: 'state', state });
      },
    });
  }

  #stepDown(): void {
    const leadership = this.#leadership;
    if (leadership === undefined) return;
    this.#leadership = undefined;
    const ending = leadership.end().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  #receive(message: TabMessage): void {
    if (this.#closed) return;
    this.#leadership?.heard(message.from);
    switch (message.kind) {
      case 'lead':
        this.#lead.receive(message.message);
        if (message.message.kind === 'beat') this.#sayHere();
        return;
      case 'events':
        if (this.#leadership === undefined) for (const event of message.events) this.#host.take(event);
        return;
      case 'state':
        if (this.#leadership === undefined) this.#host.state(message.state);
        return;
      case 'want':
        if (this.#leadership === undefined) return;
        this.#leadership.want(message.from, message.wants);
        // H5: to who joins a stream on which nothing happens.
        return this.#post({ kind: 'state', state: this.#leadership.controller.state });
      case 'unwant':
        return this.#leadership?.unwant(message.from, message.sessionIds);
      case 'command':
        return this.#leadership?.controller[message.command]();
      case 'bye':
        return this.#leadership?.forget(message.from);
      case 'here':
    }
  }

  #sayHere(): void {
    const nowAt = this.#ports.clock.now();
    if (this.#leadership !== undefined || Math.abs(nowAt - this.#hereAt) < HERE_MS) return;
    this.#hereAt = nowAt;
    this.#post({ kind: 'here' });
  }
}

/** Missing on plain-http origins, which the platform's types do not say. */
function platformLocks(): LockManager | null {
  const { locks } = globalThis.navigator as { locks?: LockManager };
  return locks ?? null;
}

interface LeadershipHost {
  events(events: readonly SseEvent[]): void;
  take(event: SseEvent): void;
  state(state: StreamState): void;
}

interface Tab {
  readonly sessionIds: Set<SessionId>;
  heardAt: number;
}

/** While this tab leads: the stream, and who wants what of it. */
class Leadership {
  readonly controller: StreamController;
  readonly #clock: Ports['clock'];
  readonly #host: LeadershipHost;
  readonly #tabs = new Map<string, Tab>();
  readonly #me: string;
  /** Frames of one turn of the event loop go over the channel together. */
  #batch: SseEvent[] = [];

  constructor(options: SharedStreamOptions, ports: Ports, me: string, wants: Wants, host: LeadershipHost) {
    this.#clock = ports.clock;
    this.#host = host;
    this.#me = me;
    this.#tab(me).sessionIds.clear();
    for (const id of Object.keys(wants.places)) this.#tab(me).sessionIds.add(id as SessionId);
    const handlers = {
      snapshot() {},
      entry() {},
      state: (state: StreamState) => host.state(state),
      error: (error: unknown) => options.handlers.error?.(error),
    };
    this.controller = new StreamController(
      { ...options, ports, handlers, target: { kind: 'sessions', ...wants } },
      (event) => this.#pass(event),
    );
    this.controller.start();
  }

  want(from: string, { places, feed }: Wants): void {
    const { sessionIds } = this.#tab(from);
    for (const [id, place] of Object.entries(places) as [SessionId, Place][]) {
      sessionIds.add(id);
      const at = this.controller.at(id);
      if (at === undefined) this.controller.add(id, place);
      else if (isBehind(place, at)) this.controller.move(id, place);
    }
    const mine = this.controller.feed;
    if (feed !== undefined && (mine === undefined || (feed ?? 0) < (mine ?? 0))) this.controller.follow(feed);
  }

  unwant(from: string, gone: readonly SessionId[]): void {
    const { sessionIds } = this.#tab(from);
    for (const id of gone) {
      sessionIds.delete(id);
      if (![...this.#tabs.values()].some((tab) => tab.sessionIds.has(id))) this.controller.remove(id);
    }
  }

  forget(from: string): void {
    this.unwant(from, [...(this.#tabs.get(from)?.sessionIds ?? [])]);
    this.#tabs.delete(from);
  }

  heard(from: string): void {
    const tab = this.#tabs.get(from);
    if (tab !== undefined) tab.heardAt = this.#clock.now();
    for (const [id, { heardAt }] of this.#tabs) {
      if (id !== this.#me && this.#clock.now() - heardAt > TAB_SILENT_MS) this.forget(id); // H3
    }
  }

  end(): Promise<void> {
    return this.controller.close();
  }

  #tab(id: string): Tab {
    let tab = this.#tabs.get(id);
    if (tab === undefined) this.#tabs.set(id, (tab = { sessionIds: new Set(), heardAt: this.#clock.now() }));
    return tab;
  }

  #pass(event: SseEvent): void {
    if (this.#batch.length === 0) {
      queueMicrotask(() => {
        const batch = this.#batch;
        this.#batch = [];
        this.#host.events(batch);
      });
    }
    this.#batch.push(event);
    this.#host.take(event);
  }
}

/** Null wants a snapshot, and is behind everything but the wait for one. */
function isBehind(place: Place, at: Place): boolean {
  if (at === null) return false;
  return place === null || seqOf(place) < seqOf(at);
}

const feedOf = ({ feed }: Places): Pick<Wants, 'feed'> => (feed === undefined ? {} : { feed });
