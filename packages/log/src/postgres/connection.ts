/**
 * One connection to PostgreSQL that comes back by itself, and transactions on it whose outcome is always known.
 *
 * 1. One user at a time: `use` runs its callers one after the other (`pg` allows no overlapping queries on a client).
 * 2. A connection that failed is thrown away; the next use opens another. Nothing is retried here.
 * 3. A commit whose answer was lost is looked up by the mark that its transaction left: it is reported as what became of it,
 *    committed or not. (Not by its transaction id: one that a crash or a failover took back is given to another transaction.) Only
 *    where the server cannot be asked within `RESOLVE_MS` does the caller get an unknown outcome.
 * 4. What is confirmed is where the server's synchronous standbys are: a commit is never cut short by a timeout of ours, which
 *    would end its wait for them and report success.
 * 5. Statements may be sent before the answers to those before them: the server takes them in order, and after one that failed
 *    refuses all others of its transaction, its `COMMIT` too. So a transaction can do with two round trips (`Steps`).
 * 6. One that is sent whole, in one (`flight`), may reach the server after its node has given it up and asked what became of it. So
 *    whoever asks leaves a later mark, and a flight writes only where its connection's mark is older than its own. Marks of
 *    transactions are even, those of who asked are odd.
 */
import { randomUUID } from 'node:crypto';
import { fault, FaultError } from '@holdfast/protocol';
import { Client, types as defaultTypes, type ClientBase, type ClientConfig, type CustomTypesConfig } from 'pg';
import { flightOf, type Mark } from './append-if.ts';
import { MARKED_AT } from './now.ts';
import { monotonicMs, pause } from './wait-clock.ts';

const CONNECT_TIMEOUT_MS = 5_000;
/** A server that does not answer a statement within this is taken for lost. */
const QUERY_TIMEOUT_MS = 15_000;
/** A node that fell silent within a transaction keeps its locks no longer than this: less than the lease that others wait for. */
const IDLE_TIMEOUT_MS = 5_000;
const RESOLVE_MS = 5_000;
const RESOLVE_PAUSE_MS = 50;

const INT8 = 20;
/** Seqs and times are int8 and far below 2^53. */
const types: CustomTypesConfig = {
  getTypeParser: (oid: number, format) =>
    oid === INT8 && format !== 'binary' ? Number : defaultTypes.getTypeParser(oid, format),
};

/** Stronger settings of the server (remote_apply) stand. */
const DURABLE = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')`;

/** Rule 4. */
const COMMIT = 'SET LOCAL statement_timeout = 0; COMMIT';

/** What PostgreSQL answers to whatever follows a failure in its transaction. */
const IN_FAILED_TRANSACTION = '25P02';

export interface ConnectionOptions {
  readonly url: string;
  readonly applicationName: string;
  /** Commits here need not survive (notifications): they do not wait for the disk. */
  readonly volatile?: true;
  /** Awaited before a new connection is used. */
  readonly confirm?: (client: ClientBase) => Promise<void>;
}

/** A transaction in two round trips (rule 5). */
export interface Steps<Known, Result> {
  /** Sent together with `BEGIN`. It locks and reads and nothing else: should `BEGIN` fail, it is done without a transaction. */
  readonly read: (client: Client) => Promise<Known>;
  /** Sent together with `COMMIT`: all its statements are sent when it returns. */
  readonly write: (client: Client, known: Known) => { readonly result: Result; readonly written: Promise<unknown> };
}

export const clientConfig = ({ url, applicationName }: ConnectionOptions): ClientConfig => ({
  connectionString: url,
  types,
  keepAlive: true,
  application_name: applicationName,
  connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  query_timeout: QUERY_TIMEOUT_MS,
  statement_timeout: QUERY_TIMEOUT_MS,
  idle_in_transaction_session_timeout: IDLE_TIMEOUT_MS,
});

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #id: string = randomUUID();
  /** Of the latest transaction (rule 6). */
  #marks = 0;
  #client: Client | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Rule 1. */
  use<T>(run: (client: Client) => Promise<T>): Promise<T> {
    const next = this.#last.then(async () => run(await this.#connected()));
    this.#last = next.catch(() => undefined);
    return next;
  }

  /** In a transaction, `READ COMMITTED`: each statement sees what was committed before it, the locks it waited for included. */
  transaction<T>(run: (client: Client) => Promise<T>): Promise<T> {
    return this.use(async (client) => {
      const mark = (this.#marks += 2);
      await this.#begin(client, mark);
      const result = await run(client).catch((error: unknown) => this.#rollBack(client, error));
      await client.query(COMMIT).catch((error: unknown) => this.#resolve(client, mark, error));
      return result;
    });
  }

  /** The same in two round trips (rule 5). */
  steps<Known, Result>({ read, write }: Steps<Known, Result>): Promise<Result> {
    return this.use(async (client) => {
      const mark = (this.#marks += 2);
      const [begun, reading] = together(client, () => [this.#begin(client, mark), read(client)]);
      reading.catch(() => undefined);
      await begun;
      const { result, written, committed } = await reading
        .then((known) => together(client, () => ({ ...write(client, known), committed: client.query(COMMIT) })))
        .catch((error: unknown) => this.#rollBack(client, error));
      const [writing, committing] = await Promise.allSettled([written, committed]);
      if (committing.status === 'rejected') {
        if (codeOf(committing.reason) !== IN_FAILED_TRANSACTION) await this.#resolve(client, mark, committing.reason);
        else await this.#rollBack(client, writing.status === 'rejected' ? writing.reason : committing.reason);
      } else if (writing.status === 'rejected') throw writing.reason;
      return result;
    });
  }

  /**
   * The same in one round trip (rule 6).
   * @param send all its statements are sent when it returns. The last leaves the mark with all that it writes and says when that was,
   *   or does nothing: outside of a transaction, for one, where its `BEGIN` was refused.
   * @returns what that one said, though its answer was lost
   */
  flight(send: (client: Client, mark: Mark) => Promise<number | undefined>): Promise<number | undefined> {
    return this.use(async (client) => {
      const mark = { id: this.#id, number: (this.#marks += 2) };
      const [begun, sent, committed] = await together(client, () =>
        Promise.allSettled([
          client.query(`BEGIN; SET LOCAL holdfast.flight = '${flightOf(mark)}'`),
          send(client, mark),
          client.query(COMMIT),
        ]),
      );
      if (committed.status === 'rejected') {
        if (codeOf(committed.reason) !== IN_FAILED_TRANSACTION)
          return this.#resolve(client, mark.number, committed.reason);
        return this.#rollBack(client, sent.status === 'rejected' ? sent.reason : committed.reason);
      }
      if (begun.status === 'rejected') return this.#fail(client, begun.reason);
      if (sent.status === 'rejected') throw sent.reason;
      return sent.value;
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
    await this.#client?.end().catch(() => undefined);
    this.#client = undefined;
  }

  async #connected(): Promise<Client> {
    if (this.#closed) throw new FaultError(fault('shutting-down', 'The log was closed. Open it again to go on.'));
    if (this.#client !== undefined) return this.#client;
    const client = new Client({ ...clientConfig(this.#options), pipeline: true });
    client.on('error', () => this.#drop(client));
    client.on('end', () => this.#drop(client));
    try {
      await client.connect();
      await client.query(this.#options.volatile === true ? 'SET synchronous_commit = off' : DURABLE);
      await this.#options.confirm?.(client);
    } catch (error) {
      void client.end().catch(() => undefined);
      throw error;
    }
    this.#client = client;
    return client;
  }

  #drop(client: Client): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    void client.end().catch(() => undefined);
  }

  #dropCurrent(): undefined {
    if (this.#client !== undefined) this.#drop(this.#client);
  }

  #fail(client: Client, error: unknown): never {
    this.#drop(client);
    throw error;
  }

  async #rollBack(client: Client, error: unknown): Promise<never> {
    await client.query('ROLLBACK').catch(() => this.#drop(client));
    throw error;
  }

  /**
   * Rule 3: throws where the transaction was not committed or nobody can say.
   * @returns when it left its mark
   */
  async #resolve(client: Client, mark: number, error: unknown): Promise<number> {
    this.#drop(client);
    const until = monotonicMs() + RESOLVE_MS;
    for (;;) {
      const last = await this.#settleMark(mark).catch(() => this.#dropCurrent());
      if (last?.mark === mark) return last.at;
      if (last !== undefined || monotonicMs() > until) throw error;
      await pause(RESOLVE_PAUSE_MS);
    }
  }

  /** Rule 3: the mark is left in the transaction itself. */
  async #begin(client: Client, mark: number): Promise<void> {
    await Promise.all([
      client.query('BEGIN'),
      client.query({
        name: 'leave-mark',
        text: 'INSERT INTO marks (id, mark) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET mark = $2, at = now()',
        values: [this.#id, mark],
      }),
    ]).catch((error: unknown) => this.#fail(client, error));
  }

  /**
   * It waits for the transaction that is in doubt, should it be under way, and keeps it from being committed should it come later
   * (rule 6); and for the standbys to have what it tells of.
   */
  async #settleMark(mark: number): Promise<{ readonly mark: number; readonly at: number } | undefined> {
    const client = await this.#connected();
    await client.query('BEGIN');
    const { rows } = await client.query<{ mark: number; at: number }>(
      `INSERT INTO marks (id, mark) VALUES ($1, $2 + 1)
       ON CONFLICT (id) DO UPDATE SET mark = CASE WHEN marks.mark < $2 THEN $2 + 1 ELSE marks.mark END
       RETURNING mark, ${MARKED_AT} AS at`,
      [this.#id, mark],
    );
    await client.query(COMMIT);
    return rows[0];
  }
}

/** What is sent meanwhile goes out in one piece. */
function together<T>(client: Client, send: () => T): T {
  const { stream } = client.connection;
  stream.cork();
  try {
    return send();
  } finally {
    stream.uncork();
  }
}

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);
