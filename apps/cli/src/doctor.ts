/**
 * `holdfast doctor`: one line a check, with the cure where something is wrong.
 *
 * 1. It changes nothing, and can run beside a gateway.
 * 2. Each check runs, whatever the one before it found; a check that breaks is a finding.
 */
import { constants, existsSync } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { openByteStream } from '@holdfast/client';
import {
  confinementNote,
  openAgents,
  openConfinement,
  readLocalGateway,
  type Config,
  type LocalGateway,
} from '@holdfast/gateway';
import { probePostgres } from '@holdfast/log/postgres';
import { checkDirectory, DATABASE_FILE } from '@holdfast/log/sqlite';
import { readConfig } from './config.ts';
import { localTransport } from './connect.ts';
import { EXIT, explain } from './failure.ts';
import { json } from './text.ts';

export interface DoctorOptions {
  readonly json: boolean;
}

type Finding = { readonly kind: 'good' | 'bad' | 'note'; readonly text: string };
const good = (text: string): Finding => ({ kind: 'good', text });
const bad = (text: string): Finding => ({ kind: 'bad', text });
const note = (text: string): Finding => ({ kind: 'note', text });

const FREE_BYTES_MIN = 1024 ** 3;
const MODEL_TIMEOUT_MS = 10_000;
const PROBE_TIMEOUT_MS = 3_000;
const OTHERS = 0o077;
const WEB_BUILD = fileURLToPath(new URL('../../web/dist/index.html', import.meta.url));

const CHECKS: readonly (readonly [string, (config: Config) => Finding | Promise<Finding>])[] = [
  ['data', checkData],
  ['database', checkDatabase],
  ['disk', checkDisk],
  ['gateway', checkGateway],
  ['page', checkPage],
  ['model', checkModel],
  ['workspace', checkWorkspace],
  ['sandbox', checkSandbox],
];

export async function doctor(options: DoctorOptions): Promise<void> {
  print('node', good(`${process.versions.node} on ${process.platform} ${process.arch}`), options);
  // Nothing else can be looked at without it: its fault ends the command, with the cure.
  const config = readConfig();
  print('config', checkConfigFile(), options);
  let isWell = true;
  for (const [name, check] of CHECKS) {
    const finding = await attempt(() => check(config));
    isWell &&= finding.kind !== 'bad';
    print(name, finding, options);
  }
  if (!isWell) process.exitCode = EXIT.failed;
}

async function attempt(check: () => Finding | Promise<Finding>): Promise<Finding> {
  try {
    return await check();
  } catch (error) {
    return bad(explain(error).text);
  }
}

const SIGNS = {
  good: () => styleText('green', 'ok   '),
  note: () => styleText('dim', 'note '),
  bad: () => styleText('red', 'BAD  '),
};

function print(name: string, { kind, text }: Finding, options: DoctorOptions): void {
  if (options.json) process.stdout.write(json({ check: name, finding: kind, text }));
  else process.stdout.write(`${SIGNS[kind]()} ${name.padEnd(10)} ${text}\n`);
}

// ── the checks ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** It was read without a fault. */
function checkConfigFile(): Finding {
  const file = path.resolve(process.env['HOLDFAST_CONFIG'] ?? 'holdfast.config.json');
  const isThere = process.env['HOLDFAST_CONFIG'] !== '' && existsSync(file);
  return good(isThere ? file : 'no file: the environment and the defaults');
}

async function checkData({ data, store }: Config): Promise<Finding> {
  if (store.kind === 'memory') return note('the store is memory: everything is gone at the end of the process');
  const found = await stat(data).catch(() => undefined);
  if (found === undefined) return checkPlaceFor(data);
  if (!found.isDirectory()) return bad(`${data} is no directory. Set HOLDFAST_DATA to one.`);
  await access(data, constants.R_OK | constants.W_OK | constants.X_OK);
  if (process.platform !== 'win32' && (found.mode & OTHERS) !== 0)
    return bad(`${data} is open to other users of this machine, with every conversation in it. Run: chmod 700 ${data}`);
  return good(data);
}

async function checkPlaceFor(data: string): Promise<Finding> {
  const above = await nearestDirectory(data);
  if (!(await stat(above)).isDirectory()) return bad(`${above} is no directory. Set HOLDFAST_DATA to another place.`);
  await access(above, constants.W_OK | constants.X_OK);
  return note(`${data} is not there yet; the first start makes it`);
}

async function nearestDirectory(place: string): Promise<string> {
  const above = path.dirname(place);
  return existsSync(above) || above === place ? above : nearestDirectory(above);
}

async function checkDatabase({ data, store }: Config): Promise<Finding> {
  if (store.kind === 'memory') return note('none: the store is memory');
  if (store.kind === 'postgres') return checkPostgres(store.url);
  if (!existsSync(path.join(data, DATABASE_FILE))) return note('there is none yet; the first start makes it');
  const problems = checkDirectory(data);
  if (problems.length === 0) return good('every page and every log is whole');
  return bad(
    `${problems.slice(0, 5).join('; ')}. Stop the gateway, keep a copy of ${data}, then: holdfast restore BACKUP`,
  );
}

async function checkPostgres(url: string): Promise<Finding> {
  const { host } = new URL(url);
  try {
    return good(`PostgreSQL ${await probePostgres(url)} at ${host}`);
  } catch (error) {
    return bad(`${explain(error).text} HOLDFAST_STORE names ${host}.`);
  }
}

async function checkDisk({ data }: Config): Promise<Finding> {
  const { bavail, bsize } = await statfs(existsSync(data) ? data : await nearestDirectory(data));
  const freeBytes = bavail * bsize;
  const text = `${(freeBytes / 1024 ** 3).toFixed(1)} GiB free`;
  return freeBytes < FREE_BYTES_MIN ? bad(`${text}. A full disk refuses messages; make room.`) : good(text);
}

async function checkGateway({ data, host, port }: Config): Promise<Finding> {
  const local = await readLocalGateway(data);
  if (local !== undefined && (await isReady(local))) return good(`runs as process ${local.pid} at ${local.url}`);
  if (port === 0) return good('does not run');
  const refusal = await listenRefusal(host, port);
  if (refusal === undefined) return good(`does not run; ${host}:${port} is free`);
  if (refusal === 'EADDRINUSE')
    return bad(`port ${port} on ${host} is taken by another program. Stop it, or set HOLDFAST_PORT to another port.`);
  return bad(`${host}:${port} cannot be listened on (${refusal}). Correct HOLDFAST_HOST and HOLDFAST_PORT.`);
}

async function isReady(local: LocalGateway): Promise<boolean> {
  await using connection = localTransport(local).open();
  const request = { url: `${local.url}/readyz`, signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) };
  return await openByteStream(connection, request).then(
    ({ status }) => status === 200,
    () => false,
  );
}

/** The system's word against it; undefined: it can be listened on. */
function listenRefusal(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = createServer()
      .once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      .listen(port, host, () => probe.close(() => resolve(undefined)));
  });
}

function checkPage({ web }: Config): Finding {
  const index = web === undefined ? WEB_BUILD : path.join(web, 'index.html');
  if (existsSync(index)) return good(path.dirname(index));
  return note('the web app is not built: the gateway serves the API alone. In a checkout, "npm start" builds it.');
}

async function checkModel(config: Config): Promise<Finding> {
  if (config.model.url === undefined)
    return note(
      'none is configured: the rehearsal agent answers. Set HOLDFAST_MODEL_URL, HOLDFAST_MODEL and HOLDFAST_MODEL_KEY.',
    );
  const { agents, defaultAgent } = openAgents(config, process.env);
  const agent = agents.find((candidate) => candidate.name === defaultAgent);
  const answer = await agent?.check?.(AbortSignal.timeout(MODEL_TIMEOUT_MS));
  if (answer === undefined) return note(`${defaultAgent} cannot be checked`);
  return answer.ok ? good(answer.detail) : bad(answer.detail);
}

async function checkWorkspace({ workspace }: Config): Promise<Finding> {
  if (workspace === undefined)
    return note('none: agents have no tools. Set HOLDFAST_WORKSPACE to a directory that they may work in.');
  const found = await stat(workspace).catch(() => undefined);
  if (found?.isDirectory() !== true)
    return bad(`HOLDFAST_WORKSPACE is ${workspace}, which is no directory. Make it, or name another.`);
  await access(workspace, constants.R_OK | constants.W_OK | constants.X_OK);
  return good(path.resolve(workspace));
}

async function checkSandbox(config: Config): Promise<Finding> {
  if (config.workspace === undefined) return note('none is needed: agents have no tools.');
  const confinement = openConfinement(config, process.env);
  const told = confinementNote(confinement);
  if (confinement.sandbox.kind === 'bubblewrap') return good(told);
  return confinement.allowsUnsandboxed ? bad(`${told} Install bubblewrap, or set it to 0.`) : note(told);
}
