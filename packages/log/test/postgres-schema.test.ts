/** The schema of PostgreSQL through its real history: which versions of Holdfast may work on what the others leave. */
import { Client } from 'pg';
import { afterAll, expect, test } from 'vitest';
import { startPostgres } from '@holdfast/testing/postgres';
import { openPostgresLog } from '../src/postgres.ts';
import { migrate, MIGRATIONS, type Migration } from '../src/postgres/schema.ts';

const server = await startPostgres();
afterAll(() => server.stop());

let made = 0;
const database = async (): Promise<Client & AsyncDisposable> =>
  connect(await server.createDatabase(`schema${(made += 1)}`));

async function connect(url: string): Promise<Client & AsyncDisposable> {
  const client = new Client(url);
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

const upTo = (version: number): readonly Migration[] => MIGRATIONS.slice(0, version);
const VERSIONS = MIGRATIONS.map((_, index) => index + 1);

/** What code of a version can rely on: tables, columns and their types, keys, indexes. */
async function shapeOf(
  client: Client,
): Promise<{ readonly there: readonly string[]; readonly demands: readonly string[] }> {
  const columns = await client.query<{ about: string; demands: boolean }>(
    `SELECT concat_ws(' ', table_name, column_name, data_type, column_default) AS about,
       is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' AS demands
     FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'holdfast_schema'`,
  );
  const constraints = await client.query<{ about: string }>(
    `SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) AS about FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace AND contype <> 'n' AND conrelid <> 'holdfast_schema'::regclass`,
  );
  const indexes = await client.query<{ about: string }>(
    `SELECT indexdef AS about FROM pg_indexes WHERE schemaname = 'public'`,
  );
  const about = ({ rows }: { readonly rows: readonly { readonly about: string }[] }): readonly string[] =>
    rows.map((row) => row.about);
  return {
    there: [...about(columns), ...about(indexes)],
    demands: [...columns.rows.filter((row) => row.demands).map((row) => row.about), ...about(constraints)],
  };
}

const tableOf = (about: string): string => about.split(' ', 1)[0] ?? '';

test('what each migration says it serves, it serves: everything that version had is there, and its tables demand nothing new', async () => {
  await using client = await database();
  const shapes: Awaited<ReturnType<typeof shapeOf>>[] = [];
  for (const version of VERSIONS) {
    await migrate(client, upTo(version));
    shapes.push(await shapeOf(client));
  }
  for (const [index, { serves }] of MIGRATIONS.entries())
    for (const old of shapes.slice(serves - 1, index)) {
      const now = shapes[index]!;
      expect(now.there).toEqual(expect.arrayContaining([...old.there]));
      const tables = new Set(old.there.map(tableOf));
      const demands = now.demands.filter((about) => tables.has(tableOf(about)));
      expect(old.demands).toEqual(expect.arrayContaining(demands));
    }
});

test('a database of any version is brought to this one, and versions that it serves start on it again', async () => {
  for (const version of VERSIONS) {
    await using client = await database();
    await migrate(client, upTo(version));
    await migrate(client);
    const found = await client.query('SELECT version, serves FROM holdfast_schema ORDER BY version');
    expect(found.rows).toEqual(MIGRATIONS.map(({ serves }, index) => ({ version: index + 1, serves })));
    for (const older of VERSIONS) await migrate(client, upTo(older));
    expect((await client.query('SELECT max(version) AS version FROM holdfast_schema')).rows).toEqual([
      { version: MIGRATIONS.length },
    ]);
  }
});

test('one step back: a version starts beside the next one where that only added, and is refused where it did not', async () => {
  await using client = await database();
  const added: Migration = { serves: MIGRATIONS.length, sql: 'ALTER TABLE streams ADD COLUMN colour text' };
  await migrate(client, [...MIGRATIONS, added]);
  const url = server.databaseUrl(`schema${made}`);
  // This version, on the schema of the next one: it starts, and works.
  const log = await openPostgresLog({ url, node: 'older' });
  await log.create('s', { contentType: 'text/plain' });
  expect(await log.append('s', { records: [new Uint8Array([1])] })).toMatchObject({ kind: 'appended' });
  await log.close();
  // The one before it would not be served by the next one.
  await expect(migrate(client, upTo(MIGRATIONS.length - 1))).rejects.toThrow('serves no Holdfast as old as this one');

  const changed: Migration = {
    serves: MIGRATIONS.length + 2,
    sql: 'ALTER TABLE streams RENAME COLUMN colour TO color',
  };
  await migrate(client, [...MIGRATIONS, added, changed]);
  await expect(openPostgresLog({ url, node: 'older' })).rejects.toMatchObject({
    fault: { kind: 'storage-unavailable' },
  });
  // A version that says nothing serves itself alone: those before this column wrote none.
  await client.query('UPDATE holdfast_schema SET serves = NULL');
  await expect(migrate(client)).rejects.toThrow('serves no Holdfast as old as this one');
});

test('a migration that must wait for a reader, as for a dump, gives up before appends are held up for long, and is made later', async () => {
  await using client = await database();
  await migrate(client, upTo(3));
  await using reader = await connect(server.databaseUrl(`schema${made}`));
  await reader.query('BEGIN; SELECT 1 FROM records');
  await expect(migrate(client)).rejects.toThrow('lock timeout');
  await reader.query('ROLLBACK');
  await migrate(client);
});

test('a feature that this version does not know is not worked on', async () => {
  await using client = await database();
  await migrate(client);
  await client.query(`INSERT INTO features VALUES ('rings')`);
  await expect(migrate(client)).rejects.toThrow('uses "rings", which this Holdfast does not know');
});
