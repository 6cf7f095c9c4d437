/**
 * The reference log, in memory: for tests, for the simulation, and for a gateway that may forget.
 *
 * A `MemoryStore` is the server; each `openMemoryLog` on it is one process with readers of its own, so that several nodes
 * can share a store as they would share a database.
 *
 * Stages of an operation: step before, the effect (one synchronous call of the store), readers told, step after.
 *
 *  F1  Without a `step` every effect happens in the call itself and the answer is there at once.
 *  F2  A `step` that rejects with a `FaultError` before the effect makes the operation `unavailable`, and nothing has
 *      changed (L12). Any other rejection, and any after the effect, rejects the operation: its verdict is lost, as it
 *      is to a process that dies.
 *  F3  However steps are scheduled, one log's appends to one stream take effect in the order of the calls (L5).
 *  F4  Other nodes are told of a commit through a step of their own (`hint STREAM`), late, in another order, or never (where
 *      the step rejects), as by a network. `poll` finds what no hint has told.
 */
import { FaultError, fault } from '@holdfast/protocol/fault';
import type { Fault } from '@holdfast/protocol/fault';
import type { Clock } from './clock.ts';
import { MemoryStore } from './memory/store.ts';
import type { Append, AppendVerdict, Consumers, Holders, Log, ReadVerdict, Rows, StreamName } from './port.ts';
import { Hub } from './subscription.ts';

export { MemoryStore };

/** Awaited before and after the effect of each operation, as `append STREAM` and `append STREAM done`. */
export type Step = (label: string) => Promise<void>;

export interface MemoryLogOptions {
  readonly clock: Clock;
  readonly step?: Step;
  /** Default: a store of its own. */
  readonly store?: MemoryStore;
}

export interface MemoryLog extends Log {
  readonly store: MemoryStore;
  /** Looks up the heads of all that is read here: the level trigger behind the hints of other nodes (F4). */
  poll(): Promise<void>;
}

/** The processes that have a store open. */
const nodesByStore = new WeakMap<MemoryStore, Set<Node>>();

interface Node {
  readonly hub: Hub;
  readonly onRows: Set<() => void>;
  readonly step: Step | undefined;
}

const closedFault: Fault = fault('shutting-down', 'The log was closed. Open it again to go on.');

export function openMemoryLog({ clock, step, store = new MemoryStore() }: MemoryLogOptions): MemoryLog {
  let open = true;
  const lanes = new Map<StreamName, Promise<unknown>>();
  const now = (): number => clock.now();

  const run = async <T>(label: string, effect: () => T): Promise<T> => {
    if (!open) throw new FaultError(closedFault);
    if (!step) return effect();
    await step(label);
    const verdict = effect();
    await step(`${label} done`);
    return verdict;
  };

  /** F2, for operations whose answer has an `unavailable`. */
  const answer = async <T>(label: string, effect: () => T): Promise<T | { kind: 'unavailable'; fault: Fault }> => {
    let happened = false;
    try {
      return await run(label, () => {
        const verdict = effect();
        happened = true;
        return verdict;
      });
    } catch (error) {
      if (happened || !(error instanceof FaultError)) throw error;
      return { kind: 'unavailable', fault: error.fault };
    }
  };

  const hub = new Hub({
    read: (stream, range) => answer<ReadVerdict>(`read ${stream}`, () => store.read(stream, range, now())),
    pause: () => step?.('pause') ?? Promise.resolve(),
  });
  const node: Node = { hub, onRows: new Set(), step };
  const nodes = nodesByStore.get(store) ?? new Set<Node>();
  nodesByStore.set(store, nodes.add(node));

  /** F4. This node's readers first, at once (L7). */
  const tell = (stream: StreamName, verdict: AppendVerdict | undefined, append: Append | undefined): void => {
    if (verdict?.kind !== 'appended' || !append) return;
    const { first, last } = verdict;
    const closed = append.close === true;
    for (const other of nodes) {
      if (!other.hub.has(stream)) continue;
      if (other === node) hub.appended(stream, store.recordsOf(stream, first, last), closed);
      else hint(other, stream, () => other.hub.advanced(stream, last, closed));
    }
    if (append.rows && append.rows.length > 0) tellRows();
  };
  const tellRows = (): void => {
    for (const other of nodes) for (const onCommit of other.onRows) onCommit();
  };
  const tellDeleted = (stream: StreamName): void => {
    for (const other of nodes) hint(other, stream, () => other.hub.deleted(stream));
  };
  const hint = (other: Node, stream: StreamName, effect: () => void): void => {
    if (other === node || !other.step) effect();
    // A step that rejects: the hint was lost, or the node is not there any more.
    else other.step(`hint ${stream}`).then(effect, () => undefined);
  };

  const appendNow = (stream: StreamName, append: Append): AppendVerdict => {
    const verdict = store.append(stream, append, now());
    tell(stream, verdict, append);
    return verdict;
  };
  /** F3. */
  const appendInLane = async (stream: StreamName, append: Append): Promise<AppendVerdict> => {
    const before = lanes.get(stream);
    const effected = Promise.withResolvers<void>();
    lanes.set(stream, effected.promise);
    const settle = (): void => {
      effected.resolve();
      if (lanes.get(stream) === effected.promise) lanes.delete(stream);
    };
    try {
      await before;
      return await answer(`append ${stream}`, () => {
        const verdict = appendNow(stream, append);
        settle();
        return verdict;
      });
    } finally {
      settle();
    }
  };

  const consumers: Consumers = {
    acquire: (stream, consumer, holder) =>
      answer(`acquire ${stream}`, () => store.acquire(stream, consumer, holder, now())),
    release: (stream, consumer, release) =>
      answer(`release ${stream}`, () => {
        const verdict = store.release(stream, consumer, release, now());
        if (verdict.kind === 'released' && release.rows && release.rows.length > 0) tellRows();
        return verdict;
      }),
    pending: (consumer, { limit, after = '' }) => run('pending', () => store.pending(consumer, limit, after, now())),
    nextWakeMs: (consumer) => run('next-wake', () => store.nextWakeMs(consumer, now())),
  };
  const holders: Holders = {
    exclusive: false,
    renew: (id, leaseMs, held = []) => answer(`renew ${id}`, () => store.renew(id, leaseMs, held, now())),
    leave: (id) => run(`leave ${id}`, () => store.leave(id)),
  };
  const rows: Rows = {
    get: (table, stream, key) => run('row', () => store.rows.get(table, stream, key)),
    list: (query) => run('rows', () => store.rows.list(query)),
    search: (query) => run('search', () => store.rows.search(query)),
    changes: (query) => run('changes', () => store.rows.changes(query)),
    lastRev: (table) => run('last-rev', () => store.rows.lastRev(table)),
    watch: (onCommit) => {
      const watcher = (): void => onCommit();
      node.onRows.add(watcher);
      return () => void node.onRows.delete(watcher);
    },
  };

  const poll = (): void => {
    for (const stream of hub.streams()) {
      const found = store.stat(stream, now());
      if (found.kind === 'state') hub.advanced(stream, found.state.head, found.state.closed);
      else if (found.kind === 'deleted') hub.deleted(stream);
    }
    for (const onCommit of node.onRows) onCommit();
  };

  return {
    store,
    poll: () => run('poll', poll),
    consumers,
    holders,
    rows,
    create: (stream, options) =>
      answer(`create ${stream}`, () => {
        const verdict = store.create(stream, options, now());
        if (verdict.kind === 'created') tell(stream, verdict.first, options.first);
        return verdict;
      }),
    stat: (stream) => answer(`stat ${stream}`, () => store.stat(stream, now())),
    append: (stream, append) => (step ? appendInLane(stream, append) : answer('', () => appendNow(stream, append))),
    read: (stream, range) => answer(`read ${stream}`, () => store.read(stream, range, now())),
    subscribe: (stream, after, options) => hub.subscribe(stream, after, options),
    findKey: (stream, id) => run(`find-key ${stream}`, () => store.findKey(stream, id, now())),
    delete: (stream, tombstones = []) =>
      answer(`delete ${stream}`, () => {
        const verdict = store.delete(stream, tombstones, now());
        if (verdict.kind === 'erased') {
          tellDeleted(stream);
          tellRows();
        }
        return verdict;
      }),
    // There is nothing to be saved: forks and readers share the records already.
    pack: (stream) => run(`pack ${stream}`, () => 0),
    truncate: (stream, upTo) => run(`truncate ${stream}`, () => store.truncate(stream, upTo, now())),
    expire: () =>
      run('expire', () => {
        const gone = store.expire(now());
        gone.forEach(tellDeleted);
        return gone.length;
      }),
    now: () => run('now', now),
    close: () => {
      open = false;
      nodes.delete(node);
      hub.close();
      return Promise.resolve();
    },
  };
}
