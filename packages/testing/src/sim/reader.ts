/**
 * A reader of a run: it attaches at a random moment to a random node, with or without a cursor, keeps its own view from the
 * snapshot and the tail, is torn off, and comes back.
 *
 * Everything that it takes goes through JSON, as over a wire; every entry that it saw is noted, to be found in the log. A snapshot
 * holds what was in the log when it was asked for, and a session that was there by then is found.
 */
import { EMPTY_VIEW, fold, type SessionId, type View } from '@holdfast/protocol';
import { decodeEntry } from '@holdfast/session';
import type { Attachment, Result } from '@holdfast/session';
import type { SimNode } from './node.ts';
import type { Process, Scheduler } from './scheduler.ts';
import type { WatchedStore } from './store.ts';

export interface ReaderWorld {
  readonly scheduler: Scheduler;
  readonly store: WatchedStore;
  readonly outside: Process;
  readonly nodes: readonly SimNode[];
  violate(law: string, detail: string): void;
}

const POLL_MS = 40;

export class SimReader {
  readonly sessionId: SessionId;
  view: View = EMPTY_VIEW;
  /** The tag of each record that it saw, by seq. */
  readonly seen: Map<number, number> = new Map();
  #tag = 0;
  #isStopped = false;
  readonly #world: ReaderWorld;

  constructor(sessionId: SessionId, world: ReaderWorld) {
    this.sessionId = sessionId;
    this.#world = world;
  }

  stop(): void {
    this.#isStopped = true;
  }

  async read(): Promise<void> {
    const { scheduler, outside, nodes, store } = this.#world;
    while (!this.#isStopped) {
      await scheduler.sleep(outside, scheduler.random() * POLL_MS * 5, 'reader');
      const up = nodes.map((node) => node.up).filter((node) => node !== undefined);
      const node = up[scheduler.draw(Math.max(1, up.length))];
      if (node === undefined) continue;
      const cursor = this.view.seq > 0 && scheduler.random() < 0.6 ? { seq: this.view.seq, tag: this.#tag } : undefined;
      const { head } = store.truthOf(this.sessionId);
      const attached = await this.#orTimeout(node.service.attach(this.sessionId, cursor));
      if (attached?.kind === 'ok' && attached.snapshot !== undefined && attached.snapshot.cursor.seq < head)
        this.#world.violate('F5', `A snapshot that was asked for at ${head} is of ${attached.snapshot.cursor.seq}.`);
      if (attached?.kind === 'fault' && attached.fault.kind === 'session-not-found' && head > 0)
        this.#world.violate('R4', `A session at ${head} is not found.`);
      if (attached?.kind === 'ok') await this.#follow(attached, node.process);
    }
  }

  async #follow(
    { snapshot, subscription, resync }: Extract<Result<Attachment>, { kind: 'ok' }>,
    on: Process,
  ): Promise<void> {
    const { scheduler, outside } = this.#world;
    if (resync !== undefined) this.#world.violate('resync', `A cursor of this log was not served: ${resync}.`);
    if (snapshot !== undefined) {
      this.view = JSON.parse(JSON.stringify(snapshot.view)) as View;
      this.#tag = snapshot.cursor.tag;
    }
    const batches = 1 + scheduler.draw(30);
    for (let batch = 0; batch < batches && !this.#isStopped && on.state !== 'dead'; batch += 1) {
      // The stream of a node that died stays silent: the reader's watchdog ends it.
      const delivery = await this.#orTimeout(subscription.next());
      if (delivery?.kind !== 'records') break;
      for (const record of delivery.records) {
        if (record.seq !== this.view.seq + 1)
          this.#world.violate('R52', `A reader at ${this.view.seq} is given ${record.seq}.`);
        this.view = fold(this.view, decodeEntry(record));
        this.#tag = record.tag;
        this.seen.set(record.seq, record.tag);
      }
      if (scheduler.random() < 0.3) await scheduler.step(outside, 'reader slow');
    }
    subscription.cancel();
  }

  #orTimeout<T>(work: Promise<T>): Promise<T | undefined> {
    const { scheduler, outside } = this.#world;
    const { promise, resolve } = Promise.withResolvers<T | undefined>();
    const timer = scheduler.after(outside, 3_000, () => resolve(undefined), 'reader timeout');
    void work.then(resolve, () => resolve(undefined));
    return promise.finally(() => timer.cancel());
  }
}
