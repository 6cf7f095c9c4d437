/**
 * `holdfast doctor`: one line a check, with the cure where something is wrong. The exit code is 1 where anything is.
 */
import { constants, existsSync } from 'node:fs';
import { access, mkdir, stat, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { openAgents, readLocalGateway, type Config } from '@holdfast/gateway';
import { checkDirectory, DATABASE_FILE } from '@holdfast/log/sqlite';
import { FaultError } from '@holdfast/protocol';
import { readConfig } from './config.ts';

type Finding = { readonly kind: 'good' | 'bad' | 'note'; readonly text: string };
const good = (text: string): Finding => ({ kind: 'good', text });
const bad = (text: string): Finding => ({ kind: 'bad', text });
const note = (text: string): Finding => ({ kind: 'note', text });

const FREE_BYTES_MIN = 1024 ** 3;
const MODEL_TIMEOUT_MS = 10_000;

export async function doctor(): Promise<void> {
  const config = readConfig();
  const checks: readonly [string, (config: Config) => Promise<Finding>][] = [
    ['node', checkNode],
    ['data', checkData],
    ['database', checkDatabase],
    ['disk', checkDisk],
    ['gateway', checkGateway],
    ['model', checkModel],
    ['workspace', checkWorkspace],
  ];
  let isWell = true;
  for (const [name, check] of checks) {
    const finding = await check(config).catch((error: unknown) =>
      bad(error instanceof FaultError ? error.fault.detail : String(error)),
    );
    isWell &&= finding.kind !== 'bad';
    const sign = finding.kind === 'bad' ? 'BAD ' : finding.kind === 'good' ? 'ok  ' : 'note';
    process.stdout.write(`${sign}  ${name.padEnd(10)}${finding.text}\n`);
  }
  process.exitCode = isWell ? 0 : 1;
}

function checkNode(): Promise<Finding> {
  return Promise.resolve(good(`${process.version} on ${process.platform} ${process.arch}`));
}

async function checkData({ data }: Config): Promise<Finding> {
  await mkdir(data, { recursive: true, mode: 0o700 });
  await access(data, constants.R_OK | constants.W_OK);
  const { mode } = await stat(data);
  if ((mode & 0o077) !== 0)
    return note(`${data} can be read by other users of this machine. To keep conversations private: chmod 700 ${data}`);
  return good(data);
}

async function checkDatabase({ data, store }: Config): Promise<Finding> {
  if (store.kind !== 'sqlite') return note(`the store is ${store.kind}; there is no file to check`);
  if (!existsSync(path.join(data, DATABASE_FILE))) return note('there is none yet; the first start makes it');
  const problems = checkDirectory(data);
  if (problems.length === 0) return good('every page and every log is whole');
  return bad(`${problems.slice(0, 5).join('; ')}. Stop the gateway, keep a copy of ${data}, and restore a backup.`);
}

async function checkDisk({ data }: Config): Promise<Finding> {
  const { bavail, bsize } = await statfs(data);
  const freeBytes = bavail * bsize;
  const text = `${(freeBytes / 1024 ** 3).toFixed(1)} GiB free`;
  return freeBytes < FREE_BYTES_MIN ? bad(`${text}. A full disk refuses messages; make room.`) : good(text);
}

async function checkGateway({ data, host, port }: Config): Promise<Finding> {
  const local = await readLocalGateway(data);
  if (local !== undefined) {
    const answer = await fetch(`${local.url}/readyz`, { signal: AbortSignal.timeout(3_000) }).catch(() => undefined);
    if (answer?.ok === true) return good(`runs as process ${local.pid} at ${local.url}`);
  }
  if (port === 0 || (await isFree(host, port))) return good(`does not run; ${host}:${port} is free`);
  return bad(`port ${port} on ${host} is taken by another program. Stop it, or set HOLDFAST_PORT.`);
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
      .once('error', () => resolve(false))
      .listen(port, host, () => probe.close(() => resolve(true)));
  });
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
    return note('none: agents have no tools. Set HOLDFAST_WORKSPACE to a directory they may work in.');
  const found = await stat(workspace).catch(() => undefined);
  if (found?.isDirectory() !== true)
    return bad(`HOLDFAST_WORKSPACE is ${workspace}, which is no directory. Make it, or name another.`);
  return good(path.resolve(workspace));
}
