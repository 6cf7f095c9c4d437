/**
 * The tables of the log in PostgreSQL ≥ 15, and how they come to be.
 *
 * 1. Migrations run once, under an advisory lock, each in a transaction. Each says the oldest schema whose code `serves` what it leaves
 *    behind: that code may go on, and may start, beside the new one (rolling deploys). Older code is refused, and changes nothing.
 * 2. A stream's row is the lock of everything that belongs to it: whoever changes its records, keys, producers or consumers
 *    holds it `FOR NO KEY UPDATE` first. (An epoch that was only read, not locked, let old owners in.) It is never deleted: an
 *    erased stream keeps it, as its tombstone.
 * 3. A row of the list gets its `rev` after its commit, from `sequence` in `rows.ts`: revs become visible in their order.
 * 4. Packed pages are read by this version and not by those before it, which run on beside it: they are made only where `features`
 *    names `pages`. A new database does; one that older nodes have used does when somebody says so (decision 14). A feature that
 *    this version does not know is one that it cannot read: it does not start (decision 15).
 */
import { fault, FaultError } from '@holdfast/protocol';
import type { ClientBase } from 'pg';
import { APPEND_IF } from './append-if.ts';

export interface Migration {
  /** Rule 1: of the version with so many migrations, and all after it. */
  readonly serves: number;
  readonly sql: string;
}

/** The version of a schema is how many of them it has. */
export const MIGRATIONS: readonly Migration[] = [
  {
    serves: 1,
    sql: `
  CREATE TABLE streams (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE COLLATE "C",
    content_type text NOT NULL,
    head bigint NOT NULL DEFAULT 0,
    floor bigint NOT NULL DEFAULT 0 CHECK (floor <= head),
    closed boolean NOT NULL DEFAULT false,
    deleted boolean NOT NULL DEFAULT false,
    created_at bigint NOT NULL,
    touched_at bigint NOT NULL,
    ttl_ms bigint,
    expires_at bigint,
    fork_from text,
    fork_up_to bigint
  ) WITH (fillfactor = 50);
  CREATE INDEX streams_mortal ON streams (id) WHERE NOT deleted AND (ttl_ms IS NOT NULL OR expires_at IS NOT NULL);

  CREATE TABLE records (
    stream_id bigint NOT NULL REFERENCES streams,
    seq bigint NOT NULL CHECK (seq > 0),
    at bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (stream_id, seq)
  );
  ALTER TABLE records ALTER COLUMN body SET STORAGE EXTERNAL;

  CREATE TABLE pages (
    stream_id bigint NOT NULL REFERENCES streams,
    first bigint NOT NULL,
    last bigint NOT NULL CHECK (last >= first),
    body bytea NOT NULL,
    PRIMARY KEY (stream_id, first)
  );
  ALTER TABLE pages ALTER COLUMN body SET STORAGE EXTERNAL;

  CREATE TABLE keys (
    stream_id bigint NOT NULL REFERENCES streams,
    id text NOT NULL,
    hash text NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (stream_id, id)
  );

  CREATE TABLE producers (
    stream_id bigint NOT NULL REFERENCES streams,
    id text NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (stream_id, id)
  ) WITH (fillfactor = 50);

  CREATE TABLE consumers (
    stream_id bigint NOT NULL REFERENCES streams,
    name text NOT NULL,
    epoch bigint NOT NULL DEFAULT 0,
    acked bigint NOT NULL DEFAULT 0,
    holder text,
    wake_at bigint,
    behind boolean NOT NULL DEFAULT false,
    PRIMARY KEY (stream_id, name)
  ) WITH (fillfactor = 50);
  CREATE INDEX consumers_behind ON consumers (name, stream_id) WHERE behind;
  CREATE INDEX consumers_wake ON consumers (name, wake_at) WHERE wake_at IS NOT NULL;

  CREATE TABLE holders (
    id text PRIMARY KEY,
    lease_until bigint NOT NULL
  );

  CREATE TABLE rows (
    stream_id bigint NOT NULL REFERENCES streams,
    tbl text NOT NULL,
    key text NOT NULL,
    ord double precision NOT NULL,
    grp text,
    value bytea,
    words tsvector NOT NULL,
    rev bigint,
    PRIMARY KEY (stream_id, tbl, key)
  );
  CREATE INDEX rows_by_order ON rows (tbl, ord) WHERE value IS NOT NULL;
  CREATE INDEX rows_by_group ON rows (tbl, grp, ord) WHERE value IS NOT NULL;
  CREATE INDEX rows_by_rev ON rows (tbl, rev) WHERE rev IS NOT NULL;
  CREATE INDEX rows_unsequenced ON rows (tbl) WHERE rev IS NULL;
  CREATE INDEX rows_by_words ON rows USING gin (words);
  CREATE SEQUENCE row_revs;
  `,
  },
  {
    // The last transaction of each writer connection (`connection.ts`, rule 3).
    serves: 1,
    sql: `
  CREATE TABLE marks (
    id text PRIMARY KEY,
    mark bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
  ) WITH (fillfactor = 50);
  `,
  },
  {
    // What every node on this database can do (rule 4).
    serves: 1,
    sql: `
  CREATE TABLE features (name text PRIMARY KEY);
  `,
  },
  {
    // The server looked up the stream of every record and of every key: a quarter of what an append costs it, for what rule 2 holds
    // anyway. Nobody's append waits long behind somebody's dump: then the start fails, and is tried again. The stream's row is the
    // first lock of an append too.
    serves: 1,
    sql: `
  SET LOCAL lock_timeout = '2s';
  LOCK TABLE streams, records, keys IN ACCESS EXCLUSIVE MODE;
  ALTER TABLE records DROP CONSTRAINT records_stream_id_fkey;
  ALTER TABLE keys DROP CONSTRAINT keys_stream_id_fkey;
  `,
  },
  {
    serves: 1,
    sql: APPEND_IF,
  },
];

export const PAGES = 'pages';
const FEATURES: readonly string[] = [PAGES];

/** Long after nobody can be in doubt about a connection's last transaction. */
const OLD_MARKS = `DELETE FROM marks WHERE at < now() - interval '1 day'`;

const MIGRATION_LOCK = 0x68_66_6d_67;

/**
 * @param migrations those that this version knows
 * @throws FaultError where the database needs a newer one
 */
export async function migrate(client: ClientBase, migrations: readonly Migration[] = MIGRATIONS): Promise<void> {
  await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
  try {
    // Beside the numbered ones: the versions without this column are served by it too.
    await client.query(`CREATE TABLE IF NOT EXISTS holdfast_schema (version integer PRIMARY KEY);
      ALTER TABLE holdfast_schema ADD COLUMN IF NOT EXISTS serves integer`);
    const version = await versionFor(client, migrations.length);
    for (const [index, { sql, serves }] of migrations.entries()) {
      if (index < version) continue;
      const row = `(${index + 1}, ${serves})`;
      await client
        .query(`BEGIN; ${sql}; INSERT INTO holdfast_schema (version, serves) VALUES ${row}; COMMIT`)
        .catch(async (error: unknown) => {
          await client.query('ROLLBACK');
          throw error;
        });
    }
    await refuseUnknownFeatures(client);
    if (version === 0 && migrations.length === MIGRATIONS.length)
      await client.query('INSERT INTO features VALUES ($1) ON CONFLICT DO NOTHING', [PAGES]);
    if (migrations.length > 1) await client.query(OLD_MARKS);
  } finally {
    await client.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]);
  }
}

/** Rule 1. A version that was written by code without `serves` serves itself alone. */
async function versionFor(client: ClientBase, known: number): Promise<number> {
  const { rows } = await client.query<{ version: number | null; serves: number | null }>(
    `SELECT max(version) AS version, max(coalesce(serves, version)) FILTER (WHERE version > $1) AS serves
     FROM holdfast_schema`,
    [known],
  );
  const { version, serves } = rows[0] ?? {};
  if ((serves ?? 0) > known) throw new FaultError(newer(version ?? 0, known));
  return version ?? 0;
}

/** Rule 4. */
async function refuseUnknownFeatures(client: ClientBase): Promise<void> {
  const { rows: there } = await client.query<{ there: boolean }>(`SELECT to_regclass('features') IS NOT NULL AS there`);
  if (there[0]?.there !== true) return;
  const { rows } = await client.query<{ name: string }>('SELECT name FROM features WHERE name <> ALL($1)', [FEATURES]);
  const [unknown] = rows;
  if (unknown === undefined) return;
  throw new FaultError(
    fault(
      'storage-unavailable',
      `The database uses "${unknown.name}", which this Holdfast does not know and could not read. It was left untouched. Start the newer Holdfast.`,
    ),
  );
}

const newer = (version: number, known: number): ReturnType<typeof fault> =>
  fault(
    'storage-unavailable',
    `The database has schema version ${version}, which serves no Holdfast as old as this one: it knows ${known}. It was left untouched. Start the newer Holdfast, or give this one another database.`,
  );

/** A server that may lose or change what it has confirmed is refused: nothing here could promise anything on it. */
export async function refuseUnsafe(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ fsync: string; encoding: string; version: number }>(
    `SELECT current_setting('fsync') AS fsync, current_setting('server_encoding') AS encoding,
            current_setting('server_version_num')::int AS version`,
  );
  const [server] = rows;
  if (server === undefined || server.version < 150_000) {
    throw new FaultError(
      fault('storage-unavailable', `The PostgreSQL server has version ${server?.version}; Holdfast needs 15 or newer.`),
    );
  }
  if (server.fsync !== 'on') {
    throw new FaultError(
      fault(
        'storage-unavailable',
        'The PostgreSQL server runs with fsync=off: a power cut would lose what was acknowledged. Set fsync=on and restart it.',
      ),
    );
  }
  if (server.encoding !== 'UTF8') {
    throw new FaultError(
      fault(
        'storage-unavailable',
        `The database is encoded as ${server.encoding}, which does not hold every text. Create one with ENCODING 'UTF8'.`,
      ),
    );
  }
}
