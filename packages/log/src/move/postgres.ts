/**
 * A PostgreSQL database to move from or to.
 *
 * 1. A source is read at one moment, in one transaction, behind locks that keep every gateway from writing for that time (M1). One that
 *    is connected, or whose lease lives, is named and refused.
 * 2. The draft is a schema of its own, which no gateway looks into; the last step moves its tables to where they belong, in one
 *    transaction. Its notes say what it was begun from and how far it is.
 * 3. While it is filled a commit need not be on the disk, only in order; the last one waits for all.
 */
import { fault, FaultError } from '@holdfast/protocol';
import { Client } from 'pg';
import { clientConfig } from '../postgres/connection.ts';
import { faultOfError } from '../postgres/refusal.ts';
import { sequence } from '../postgres/rows.ts';
import { NOW_MS } from '../postgres/now.ts';
import { migrate, refuseUnsafe } from '../postgres/schema.ts';
import { monotonicMs, pause } from '../postgres/wait-clock.ts';
import { PostgresTables } from './postgres-tables.ts';
import { PostgresWriter } from './postgres-writer.ts';
import type { Begun, Origin, Part, Place, Source, Target } from './port.ts';
import { notEmpty, otherDraft } from './refusals.ts';

const DRAFT = 'holdfast_migrating';
const NAME = 'holdfast migrate';
const GOING_MS = 1_000;

const NOTES = `CREATE TABLE IF NOT EXISTS migrated (
  origin text NOT NULL, fingerprint text NOT NULL, place jsonb, streams bigint NOT NULL, records bigint NOT NULL, digest text
)`;

interface Notes {
  readonly origin: string;
  readonly fingerprint: string;
  readonly place: Place | null;
  readonly streams: number;
  readonly records: number;
  readonly digest: string | null;
}

/** @throws FaultError where there is nothing, or a gateway uses it */
export async function openPostgresSource(url: string): Promise<Source> {
  const client = await connect(url);
  try {
    if (!(await has(client, 'streams'))) throw refusal(`${nameOf(url)} holds nothing of Holdfast.`);
    await refuseInUse(client, url);
    await migrate(client);
    await client.query('BEGIN');
    await sequence(client);
    await client.query('COMMIT');
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await client.query('LOCK TABLE streams, holders, rows IN SHARE MODE');
  } catch (error) {
    await client.end().catch(() => undefined);
    throw asFault(error);
  }
  return { name: nameOf(url), tables: new PostgresTables(client), close: () => client.end() };
}

export interface TargetOptions {
  /** Drops what an earlier run left unfinished. */
  readonly restart?: boolean;
}

export async function openPostgresTarget(url: string, { restart = false }: TargetOptions = {}): Promise<Target> {
  const client = await connect(url);
  try {
    await refuseUnsafe(client);
    const { rows } = await client.query<{ home: string | null }>('SELECT current_schema() AS home');
    const home = rows[0]?.home ?? 'public';
    return new PostgresTarget(client, { url, home, restart });
  } catch (error) {
    await client.end().catch(() => undefined);
    throw asFault(error);
  }
}

class PostgresTarget implements Target {
  readonly name: string;
  readonly #client: Client;
  readonly #url: string;
  readonly #home: string;
  readonly #restart: boolean;
  readonly #writer: PostgresWriter;

  constructor(client: Client, { url, home, restart }: { url: string; home: string; restart: boolean }) {
    this.name = nameOf(url);
    this.#client = client;
    this.#url = url;
    this.#home = home;
    this.#restart = restart;
    this.#writer = new PostgresWriter(client);
  }

  async look(origin: Origin): Promise<Begun> {
    await refuseInUse(this.#client, this.#url);
    if (await has(this.#client, 'streams', this.#home)) {
      const placed = await this.#notesIn(this.#home);
      if (placed?.digest != null && isOf(placed, origin)) return { kind: 'finished', digest: placed.digest };
      const streams = await this.#count();
      if (streams > 0) throw notEmpty(this.name, streams);
    }
    const notes = this.#restart ? undefined : await this.#notesIn(DRAFT);
    if (notes === undefined) return { kind: 'open', place: undefined, streams: 0, records: 0 };
    if (!isOf(notes, origin)) throw otherDraft(this.name, notes.origin, origin);
    const { place, streams, records } = notes;
    return { kind: 'open', place: place ?? undefined, streams, records };
  }

  async begin(origin: Origin): Promise<Begun> {
    const client = this.#client;
    const locked = await client.query<{ mine: boolean }>(`SELECT pg_try_advisory_lock(hashtext('${DRAFT}')) AS mine`);
    if (locked.rows[0]?.mine !== true) throw inUse(`Another migration to ${this.name} is running. Let it end.`);
    if (this.#restart) await client.query(`DROP SCHEMA IF EXISTS ${DRAFT} CASCADE`);
    const begun = await this.look(origin);
    if (begun.kind === 'finished') return begun;
    await client.query(
      `CREATE SCHEMA IF NOT EXISTS ${DRAFT}; SET search_path = ${DRAFT}; SET synchronous_commit = off`,
    );
    await migrate(client);
    await client.query(NOTES);
    if (begun.place === undefined) {
      await client.query('BEGIN; DELETE FROM migrated');
      await client.query('INSERT INTO migrated VALUES ($1, $2, NULL, 0, 0, NULL)', [origin.from, origin.fingerprint]);
      await client.query('COMMIT');
    }
    return begun;
  }

  async load(parts: readonly Part[], done: { readonly streams: number; readonly records: number }): Promise<void> {
    const client = this.#client;
    try {
      await client.query('BEGIN');
      await this.#writer.put(parts);
      await client.query('UPDATE migrated SET place = $1, streams = $2, records = $3', [
        JSON.stringify(parts.at(-1)?.place),
        done.streams,
        done.records,
      ]);
      await client.query('COMMIT');
    } catch (error) {
      throw asFault(error);
    }
  }

  async settle(lastRev: number): Promise<void> {
    if (lastRev > 0) await this.#client.query(`SELECT setval('row_revs', $1)`, [lastRev]);
    await this.#client.query('ANALYZE streams, records, pages, keys, producers, consumers, rows');
  }

  tables(): Promise<PostgresTables> {
    return Promise.resolve(new PostgresTables(this.#client));
  }

  async finish(digest: string): Promise<void> {
    const client = this.#client;
    await client.query('BEGIN; SET LOCAL synchronous_commit = on');
    try {
      await client.query('UPDATE migrated SET digest = $1', [digest]);
      await this.#moveDraft();
      await client.query(`DROP SCHEMA ${DRAFT}`);
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK').catch(() => undefined);
      throw asFault(error);
    }
  }

  close(): Promise<void> {
    return this.#client.end();
  }

  /** Rule 2. What a gateway has made in its place goes where it is empty; anything in them is looked for under lock. */
  async #moveDraft(): Promise<void> {
    const client = this.#client;
    const home = client.escapeIdentifier(this.#home);
    if (await has(client, 'streams', this.#home)) {
      await client.query(`LOCK TABLE ${home}.streams IN ACCESS EXCLUSIVE MODE`);
      const streams = await this.#count();
      if (streams > 0) throw notEmpty(this.name, streams);
    }
    // An index goes with its table, an owned sequence with its column.
    const { rows } = await client.query<{ name: string; kind: 'TABLE' | 'SEQUENCE' }>(
      `SELECT c.relname AS name, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind FROM pg_class c
       WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'S')
         AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('i', 'a'))`,
      [DRAFT],
    );
    for (const { name, kind } of rows) {
      const object = client.escapeIdentifier(name);
      await client.query(`DROP ${kind} IF EXISTS ${home}.${object} CASCADE`);
      await client.query(`ALTER ${kind} ${object} SET SCHEMA ${home}`);
    }
    const functions = await client.query<{ signature: string }>(
      `SELECT format('%I(%s)', proname, pg_get_function_identity_arguments(oid)) AS signature
       FROM pg_proc WHERE pronamespace = $1::regnamespace`,
      [DRAFT],
    );
    for (const { signature } of functions.rows) {
      await client.query(`DROP FUNCTION IF EXISTS ${home}.${signature}`);
      await client.query(`ALTER FUNCTION ${signature} SET SCHEMA ${home}`);
    }
  }

  async #notesIn(schema: string): Promise<Notes | undefined> {
    if (!(await has(this.#client, 'migrated', schema))) return undefined;
    const { rows } = await this.#client.query<Notes>(`SELECT * FROM ${this.#client.escapeIdentifier(schema)}.migrated`);
    return rows[0];
  }

  async #count(): Promise<number> {
    const { rows } = await this.#client.query<{ streams: number }>(
      `SELECT count(*) AS streams FROM ${this.#client.escapeIdentifier(this.#home)}.streams`,
    );
    return rows[0]?.streams ?? 0;
  }
}

const isOf = (notes: Notes, { fingerprint }: Origin): boolean => notes.fingerprint === fingerprint;

const refusal = (detail: string): FaultError => new FaultError(fault('invalid-request', detail));
const inUse = (detail: string): FaultError => new FaultError(fault('storage-unavailable', detail));

const asFault = (error: unknown): unknown =>
  error instanceof FaultError ? error : new FaultError(faultOfError(error), { cause: error });

async function connect(url: string): Promise<Client> {
  // A table of millions of rows takes longer than a gateway would wait.
  const client = new Client({
    ...clientConfig({ url, applicationName: NAME }),
    query_timeout: 0,
    statement_timeout: 0,
    idle_in_transaction_session_timeout: 0,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return client;
  } catch (error) {
    throw asFault(error);
  }
}

/** Without a password. */
function nameOf(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `postgres://${hostname}${port === '' ? '' : `:${port}`}${pathname}`;
}

async function has(client: Client, table: string, schema?: string): Promise<boolean> {
  const { rows } = await client.query<{ has: boolean }>(
    'SELECT EXISTS (SELECT 1 FROM pg_tables WHERE tablename = $1 AND schemaname = coalesce($2, current_schema())) AS has',
    [table, schema ?? null],
  );
  return rows[0]?.has === true;
}

async function refuseInUse(client: Client, url: string): Promise<void> {
  let user = await connectedGateway(client);
  // The server notices a moment later that somebody has gone.
  for (const until = monotonicMs() + GOING_MS; user !== undefined && monotonicMs() < until; await pause(50))
    user = await connectedGateway(client);
  if (user !== undefined)
    throw inUse(
      `${nameOf(url)} is in use by ${user.name.replace('holdfast ', 'gateway ')}` +
        `${user.host === null ? '' : `, connected from ${user.host}`} (server process ${user.pid}). Stop all gateways first.`,
    );
  if (!(await has(client, 'holders'))) return;
  const leases = await client.query<{ id: string; left: number }>(
    `SELECT id, lease_until - ${NOW_MS} AS left FROM holders WHERE lease_until > ${NOW_MS} LIMIT 1`,
  );
  const [lease] = leases.rows;
  if (lease !== undefined)
    throw inUse(
      `${nameOf(url)} is in use: the lease of gateway ${lease.id} runs for another ${Math.ceil(lease.left / 1_000)} s. ` +
        'If it was killed, wait for that time; else stop it first.',
    );
}

async function connectedGateway(
  client: Client,
): Promise<{ readonly name: string; readonly pid: number; readonly host: string | null } | undefined> {
  const { rows } = await client.query<{ name: string; pid: number; host: string | null }>(
    `SELECT application_name AS name, pid, host(client_addr) AS host FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'holdfast %' AND application_name <> $1
     ORDER BY backend_start LIMIT 1`,
    [NAME],
  );
  return rows[0];
}
