/**
 * The log on PostgreSQL alone: for many nodes on one database, which share nothing else.
 *
 * Stages of an append: a writer connection (`writers.ts`) → one transaction for whatever is waiting → readers of this
 * process → the verdict → `NOTIFY` to the other nodes.
 *
 *  1. This node's appends to a stream keep their order (L5).
 *  2. Reads go through a pool; they never wait for a writer.
 *  3. What a lost connection leaves unknown is asked for after it is back (`connection.ts`): an append is reported as done
 *     exactly where it was.
 */
import { callbackify } from 'node:util';
import { FaultError } from '@holdfast/protocol';
import { Client, Pool } from 'pg';
import type { BatchResult, Commit } from './postgres/writes.ts';
import { clientConfig, Connection, type ConnectionOptions } from './postgres/connection.ts';
import * as consumerSteps from './postgres/consumers.ts';
import { FanOut, type Hearing } from './postgres/fan-out.ts';
import { Group } from './postgres/group.ts';
import { History } from './postgres/history.ts';
import { packOne } from './postgres/pack.ts';
import { faultOfError, unavailable } from './postgres/refusal.ts';
import { changedRows, getRow, lastRev, listRows, searchRows, sequence, type Query } from './postgres/rows.ts';
import { NOW_MS } from './postgres/now.ts';
import { migrate, refuseUnsafe } from './postgres/schema.ts';
import * as streamSteps from './postgres/streams.ts';
import { pause } from './postgres/wait-clock.ts';
import { Writers } from './postgres/writers.ts';
import { checkStreamName } from './limits.ts';
import { PageCache } from './page.ts';
import type { Log, Refused, Row, Rows } from './port.ts';
import { revIn, revWithin } from './rev.ts';
import { Hub } from './subscription.ts';

export interface PostgresLogOptions {
  /** `postgres://user@host/db`. `LISTEN` needs a direct connection or a session pooler, not a transaction pooler. */
  readonly url: string;
  /** This process, as the other nodes know it; new at every start. */
  readonly node: string;
  /** Writer connections. Default 3. */
  readonly writers?: number;
  /** Connections for everything else. Default 6. */
  readonly readers?: number;
  /** Stands between the notifications of other nodes and this one: a test loses, doubles and reorders them here. */
  readonly hearing?: Hearing;
}

/** @throws FaultError `storage-unavailable`: no server, one that is too old or unsafe, or a newer schema. */
export async function openPostgresLog(options: PostgresLogOptions): Promise<Log> {
  const connection: ConnectionOptions = { url: options.url, applicationName: `holdfast ${options.node}` };
  await prepare(connection);
  return new PostgresLog(connection, options);
}

/**
 * Whether a log could be opened there; changes nothing.
 *
 * @returns the server's version
 * @throws FaultError `storage-unavailable`: no server, nobody lets us in, one that is too old or unsafe
 */
export const probePostgres = (url: string): Promise<string> =>
  withClient({ url, applicationName: 'holdfast doctor' }, async (client) => {
    await refuseUnsafe(client);
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
    return rows[0]?.server_version ?? '';
  });

const prepare = (connection: ConnectionOptions): Promise<void> =>
  withClient(connection, async (client) => {
    await refuseUnsafe(client);
    await migrate(client);
  });

async function withClient<T>(connection: ConnectionOptions, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(clientConfig(connection));
  try {
    await client.connect();
    return await use(client);
  } catch (error) {
    throw error instanceof FaultError ? error : new FaultError(faultOfError(error), { cause: error });
  } finally {
    await client.end().catch(() => undefined);
  }
}

class PostgresLog implements Log {
  readonly consumers: Log['consumers'];
  readonly holders: Log['holders'];
  readonly rows: Rows;
  readonly #writers: Writers;
  readonly #pool: Pool;
  readonly #steps: readonly Connection[];
  readonly #sender: Connection;
  readonly #hub: Hub;
  readonly #history: History;
  readonly #fanOut: FanOut;
  readonly #pages = new PageCache();
  readonly #watchers = new Set<() => void>();
  #nextStep = 0;

  constructor(server: ConnectionOptions, { node, writers = 3, readers = 6, hearing }: PostgresLogOptions) {
    this.#hub = new Hub({ read: (stream, range) => this.read(stream, range), pause: () => pause(200) });
    this.#history = new History(this.#hub, () => this.#rowsChanged());
    const { confirm } = this.#history;
    const connection: ConnectionOptions = { ...server, confirm };
    this.#pool = new Pool({
      ...clientConfig(connection),
      max: readers,
      verify: callbackify(confirm),
    });
    this.#pool.on('error', () => undefined);
    this.#writers = new Writers(
      Array.from({ length: writers }, () => new Connection(connection)),
      (result) => this.#committed(result),
    );
    this.#steps = Array.from({ length: writers }, () => new Connection(connection));
    this.#sender = new Connection({ ...connection, volatile: true });
    this.#fanOut = new FanOut({
      node,
      hub: this.#hub,
      connection,
      sender: this.#sender,
      query: this.#query,
      onRows: () => this.#rowsChanged(),
      ...(hearing === undefined ? {} : { hearing }),
    });
    this.consumers = this.#makeConsumers();
    this.holders = {
      exclusive: false,
      renew: (id, leaseMs, held = []) => consumerSteps.renew(this.#query, id, leaseMs, held).catch(unavailable),
      leave: (id) => consumerSteps.leave(this.#query, id),
    };
    this.rows = this.#makeRows();
  }

  async create(...[stream, options]: Parameters<Log['create']>): ReturnType<Log['create']> {
    checkStreamName(stream);
    try {
      const { verdict, appended } = await this.#step().transaction((client) =>
        streamSteps.create(client, stream, options),
      );
      if (appended !== undefined) this.#committed(appended);
      return verdict;
    } catch (error) {
      return refuse(error);
    }
  }

  stat(stream: string): ReturnType<Log['stat']> {
    return streamSteps.stat(this.#query, stream).catch(refuse);
  }

  append(...[stream, append]: Parameters<Log['append']>): ReturnType<Log['append']> {
    return this.#writers.append({ stream, append });
  }

  read(...[stream, range]: Parameters<Log['read']>): ReturnType<Log['read']> {
    return streamSteps.read(this.#query, stream, range, this.#pages).catch(refuse);
  }

  subscribe(...[stream, after, options]: Parameters<Log['subscribe']>): ReturnType<Log['subscribe']> {
    return this.#hub.subscribe(stream, after, options);
  }

  async findKey(stream: string, id: string): ReturnType<Log['findKey']> {
    const [found] = await this.#query<{ first: number; last: number; hash: string }>(
      'SELECT k.first, k.last, k.hash FROM keys k JOIN streams s ON s.id = k.stream_id WHERE s.name = $1 AND k.id = $2',
      [stream, id],
      'find-key',
    );
    return found;
  }

  async delete(...[stream, tombstones = []]: Parameters<Log['delete']>): ReturnType<Log['delete']> {
    try {
      const erased = await this.#step().transaction((client) => streamSteps.erase(client, stream, tombstones));
      if (erased.kind !== 'missing') this.#gone(stream);
      return { kind: erased.kind };
    } catch (error) {
      return refuse(error);
    }
  }

  async pack(stream: string, upTo: number): Promise<number> {
    let savedBytes = 0;
    for (;;) {
      const saved = await this.#step().transaction((client) => packOne(client, stream, upTo));
      if (saved === undefined) return savedBytes;
      savedBytes += saved;
    }
  }

  truncate(stream: string, upTo: number): Promise<void> {
    return this.#step().transaction((client) => streamSteps.truncate(client, stream, upTo));
  }

  async expire(): Promise<number> {
    const gone = await this.#step().transaction((client) => streamSteps.expire(client));
    for (const stream of gone) this.#gone(stream);
    return gone.length;
  }

  async now(): Promise<number> {
    const [row] = await this.#query<{ now: number }>(`SELECT ${NOW_MS} AS now`, []);
    return row?.now ?? 0;
  }

  async close(): Promise<void> {
    await this.#writers.close();
    await Promise.all(this.#steps.map((step) => step.close()));
    this.#hub.close();
    await this.#fanOut.close();
    await this.#sender.close();
    await this.#pool.end();
  }

  // ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  readonly #query: Query = async <T extends object>(
    text: string,
    values: readonly unknown[],
    name?: string,
  ): Promise<readonly T[]> => {
    try {
      const { rows } = await this.#pool.query<T>({
        text,
        values: [...values],
        ...(name === undefined ? {} : { name }),
      });
      return rows;
    } catch (error) {
      throw error instanceof FaultError ? error : new FaultError(faultOfError(error), { cause: error });
    }
  };

  #makeConsumers(): Log['consumers'] {
    const acquires = new Group(this.#step(), consumerSteps.acquireAll);
    const releases = new Group(this.#step(), consumerSteps.releaseAll);
    return {
      acquire: (stream, consumer, holder) => acquires.add({ stream, consumer, holder }).catch(refuse),
      release: async (stream, consumer, release) => {
        try {
          const verdict = await releases.add({ stream, consumer, release });
          if (verdict.kind === 'released' && (release.rows ?? []).length > 0) this.#announce([], true);
          return verdict;
        } catch (error) {
          return refuse(error);
        }
      },
      pending: (consumer, options) => consumerSteps.pending(this.#query, consumer, options),
      nextWakeMs: (consumer) => consumerSteps.nextWakeMs(this.#query, consumer),
    };
  }

  #makeRows(): Rows {
    const numbered = (read: () => Promise<readonly (Row | undefined)[]>): Promise<readonly Row[]> =>
      this.#numbered(async () => (await read()).filter((row) => row !== undefined));
    return {
      get: async (table, stream, key) =>
        (await numbered(async () => [await getRow(this.#query, table, stream, key)])).at(0),
      list: (query) => numbered(() => listRows(this.#query, query)),
      search: (query) => numbered(() => searchRows(this.#query, query)),
      changes: async ({ after, ...query }) => {
        await this.#sequence();
        const history = this.#history.number;
        return inHistory(history, await changedRows(this.#query, { ...query, after: revWithin(history, after) }));
      },
      lastRev: async (table) => {
        await this.#sequence();
        const history = this.#history.number;
        return revIn(history, await lastRev(this.#query, table));
      },
      watch: (onCommit) => {
        const watcher = (): void => onCommit();
        this.#watchers.add(watcher);
        return () => void this.#watchers.delete(watcher);
      },
    };
  }

  /** Rows that were committed a moment ago may still be without a rev. */
  async #numbered(read: () => Promise<readonly Row[]>): Promise<readonly Row[]> {
    // As it was before they were read: what a failover in between takes back is not passed off as what follows it.
    const history = this.#history.number;
    const rows = await read();
    if (rows.every((row) => row.rev > 0)) return inHistory(history, rows);
    await this.#sequence();
    return inHistory(history, await read());
  }

  async #sequence(): Promise<void> {
    const [unseen] = await this.#query<{ any: boolean }>(
      'SELECT EXISTS (SELECT 1 FROM rows WHERE rev IS NULL) AS any',
      [],
    );
    if (unseen?.any === true) await this.#step().transaction(sequence);
  }

  /** Connections for steps that are not appends, in turn. */
  #step(): Connection {
    this.#nextStep = (this.#nextStep + 1) % this.#steps.length;
    const step = this.#steps[this.#nextStep];
    if (step === undefined) throw new Error('A PostgreSQL log has at least one writer.');
    return step;
  }

  #committed({ commits, hasRows }: BatchResult): void {
    for (const { stream, records, closed } of commits)
      if (this.#hub.has(stream)) this.#hub.appended(stream, records, closed);
    this.#announce(commits, hasRows);
  }

  #announce(commits: readonly Commit[], hasRows: boolean): void {
    this.#fanOut.publish(commits, hasRows);
    if (hasRows) this.#rowsChanged();
  }

  #gone(stream: string): void {
    this.#hub.deleted(stream);
    this.#fanOut.publishDeleted(stream);
    this.#rowsChanged();
  }

  #rowsChanged(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

const inHistory = (history: number, rows: readonly Row[]): readonly Row[] =>
  history === 0 ? rows : rows.map((row) => ({ ...row, rev: revIn(history, row.rev) }));

const refuse = (error: unknown): Extract<Refused, { kind: 'unavailable' }> => unavailable(error);
