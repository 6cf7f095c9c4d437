/**
 * Makes a checkout ready to run: `npm start` and `npm test` call it first. Plain JavaScript for any Node from 18 on,
 * without a dependency, because it runs before there are any.
 *
 *   node tools/setup.mjs          installs what package-lock.json says, when something else is installed
 *   node tools/setup.mjs --web    … and builds the web app, when its sources are not those of the last build
 *
 * Invariants
 *   S1  What is installed is judged by what npm recorded of it, not by a date. A stamp only saves the reading.
 *   S2  Two runs at once do the work once: the second waits for the first, then finds nothing to do.
 *   S3  A run that was killed never blocks the next: a lock is as alive as its process.
 *   S4  A build replaces the last one whole. Pages that are open keep finding the chunks that they were built with.
 *   S5  With nothing to do it says nothing.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const at = (...parts) => path.join(root, ...parts);

const nodeMajorMin = 24;
const lockDir = at('.setup-lock');
const lockWaitMs = 15 * 60_000;
const keepOldChunksMs = 14 * 24 * 3_600_000;

/** What the web app is made of: a change in any of these makes it anew. */
const webSources = ['apps/web', 'packages/client', 'packages/react', 'packages/protocol', 'package-lock.json'];

class SetupError extends Error {}

try {
  if (!isInstalled()) await withLock(async () => isInstalled() || (await install()));
  if (process.argv.includes('--web') && !isWebBuilt()) await withLock(async () => isWebBuilt() || (await buildWeb()));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`\nholdfast setup: ${error.message}\n`);
  process.exitCode = 1;
}

// ---------------------------------------------------------------------------------------------------- packages

function isInstalled() {
  const lockText = read('package-lock.json');
  if (lockText === undefined) {
    throw new SetupError(
      'package-lock.json is missing, so nothing says what to install. Restore it: git checkout package-lock.json',
    );
  }
  const wanted = sha256(lockText);
  if (read('node_modules/.holdfast-setup') === wanted) return true;
  if (!matchesLock(lockText) || !hasNode()) return false;
  fs.writeFileSync(at('node_modules/.holdfast-setup'), wanted);
  return true;
}

/** S1: npm keeps a lock file of its own in node_modules, of what is really there. */
function matchesLock(lockText) {
  const record = read('node_modules/.package-lock.json');
  if (record === undefined) return false;
  const installed = JSON.parse(record).packages;
  const wanted = Object.entries(JSON.parse(lockText).packages).filter(([name]) => name.includes('node_modules/'));
  const names = new Set(wanted.map(([name]) => name));
  return (
    Object.keys(installed).every((name) => names.has(name) || !name.includes('node_modules/')) &&
    wanted.every(([name, entry]) => {
      const found = installed[name];
      // What is for another platform is rightly not here.
      if (found === undefined) return entry.optional === true || entry.devOptional === true || entry.peer === true;
      return found.version === entry.version && found.integrity === entry.integrity && found.link === entry.link;
    })
  );
}

/** The Node that everything runs on comes as a package, fetched by that package's install script. */
function hasNode() {
  return fs.existsSync(nodePath());
}

function nodePath() {
  return at('node_modules/node/bin', process.platform === 'win32' ? 'node.exe' : 'node');
}

async function install() {
  const count = Object.keys(JSON.parse(read('package-lock.json')).packages).length;
  const done = announce(`installing ${count} packages (once, and when package-lock.json changes)`);
  const npm = await run('npm', ['ci', '--include=dev', '--prefer-offline', '--loglevel=error', '--no-progress'], {
    shell: process.platform === 'win32',
    // npm replaces node_modules, and the node that runs it must not be in there.
    env: { ...process.env, PATH: pathWithoutOurs() },
  });
  if (npm.code !== 0) throw new SetupError(`"npm ci" failed.\n\n${npm.output.trim()}\n\n${installCure(npm.output)}`);
  if (!hasNode()) {
    throw new SetupError(
      `Node ${nodeMajorMin} did not arrive with the packages: its install script did not run. ` +
        'Allow install scripts (npm config delete ignore-scripts) and run this again.',
    );
  }
  fs.writeFileSync(at('node_modules/.holdfast-setup'), sha256(read('package-lock.json')));
  done();
}

function installCure(output) {
  const cures = [
    [
      /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH/,
      'The package registry was not reached. Check the network, or the proxy and registry in "npm config list".',
    ],
    [/ENOSPC/, 'The disk is full. Free about 1.5 GB and run this again.'],
    [
      /EACCES|EPERM/,
      'A file could not be written. Check who owns this folder: an earlier run as another user leaves such files.',
    ],
    [/EUSAGE|in sync/, 'package.json and package-lock.json disagree. Run "npm install" and commit the lock file.'],
    [/EINTEGRITY/, 'A package differs from its recorded hash. Run "npm cache verify" and try again.'],
  ];
  return cures.find(([symptom]) => symptom.test(output))?.[1] ?? 'Run "npm ci" by hand to see the whole story.';
}

function pathWithoutOurs() {
  const ours = at('node_modules');
  return (process.env.PATH ?? '')
    .split(path.delimiter)
    .filter((dir) => !path.resolve(dir).startsWith(ours))
    .join(path.delimiter);
}

// ----------------------------------------------------------------------------------------------------- web app

function isWebBuilt() {
  if (!fs.existsSync(at('apps/web/index.html'))) return true;
  return fs.existsSync(at('apps/web/dist/index.html')) && read('node_modules/.holdfast-web') === hashOfSources();
}

async function buildWeb() {
  const done = announce('building the web app');
  const hash = hashOfSources();
  const next = at('apps/web/dist.next');
  const vite = await run(
    nodePath(),
    [at('node_modules/vite/bin/vite.js'), 'build', '--outDir', next, '--emptyOutDir', '--logLevel', 'warn'],
    {
      cwd: at('apps/web'),
      env: { ...process.env, NODE_ENV: 'production' },
    },
  );
  if (vite.code !== 0)
    throw new SetupError(`the web app was not built; the last build stays in place.\n\n${vite.output.trim()}`);
  putInPlace(next, at('apps/web/dist'));
  fs.writeFileSync(at('node_modules/.holdfast-web'), hash);
  done();
}

/** S4: chunks are named by their content, so those of earlier builds lie beside the new ones until they are old. */
function putInPlace(next, current) {
  const assets = path.join(current, 'assets');
  const oldest = Date.now() - keepOldChunksMs;
  for (const name of fs.existsSync(assets) ? fs.readdirSync(assets) : []) {
    const from = path.join(assets, name);
    const to = path.join(next, 'assets', name);
    const { mtime, mtimeMs } = fs.statSync(from);
    if (mtimeMs < oldest || fs.existsSync(to)) continue;
    fs.cpSync(from, to, { recursive: true });
    fs.utimesSync(to, mtime, mtime);
  }
  const previous = `${current}.previous`;
  fs.rmSync(previous, { recursive: true, force: true });
  if (fs.existsSync(current)) fs.renameSync(current, previous);
  fs.renameSync(next, current);
  fs.rmSync(previous, { recursive: true, force: true });
}

function hashOfSources() {
  const hash = createHash('sha256');
  for (const file of webSources.flatMap(filesUnder).sort(byName))
    hash
      .update(file)
      .update('\0')
      .update(fs.readFileSync(at(file)));
  return hash.digest('hex');
}

/** Not by locale: the hash is to be the same everywhere. */
function byName(a, b) {
  return a < b ? -1 : Number(a > b);
}

function filesUnder(name) {
  if (!fs.existsSync(at(name))) return [];
  if (fs.statSync(at(name)).isFile()) return [name];
  return fs
    .readdirSync(at(name), { withFileTypes: true })
    .filter((entry) => !/^(node_modules|test|dist(\..*)?)$|\.test\.tsx?$/.test(entry.name))
    .flatMap((entry) => filesUnder(`${name}/${entry.name}`));
}

// -------------------------------------------------------------------------------------------------------- lock

/** S2, S3: a folder is made by one process alone; whose it is stands in it. */
async function withLock(work) {
  const giveUpAt = Date.now() + lockWaitMs;
  let told = false;
  while (!takeLock()) {
    if (clearIfDead()) continue;
    if (Date.now() > giveUpAt) {
      throw new SetupError(
        `another setup (process ${lockOwner() ?? 'unknown'}) holds ${lockDir} for long. End it, or delete that folder.`,
      );
    }
    if (!told) console.error(`holdfast setup: waiting for another one (process ${lockOwner() ?? 'unknown'}) …`);
    told = true;
    await sleep(250);
  }
  const release = () => fs.rmSync(lockDir, { recursive: true, force: true });
  const onSignal = () => {
    release();
    process.exit(130);
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    await work();
  } finally {
    release();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function takeLock() {
  try {
    fs.mkdirSync(lockDir);
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw new SetupError(`${root} cannot be written (${error.code}). Check who owns it.`);
  }
  fs.writeFileSync(path.join(lockDir, 'pid'), String(process.pid));
  return true;
}

function lockOwner() {
  const text = read('.setup-lock/pid');
  return text ? Number(text) : undefined;
}

/** Renames before it deletes, so that of two who find the same dead lock one alone clears it. */
function clearIfDead() {
  const owner = lockOwner();
  if (owner === undefined ? !isOld(lockDir, 5_000) : isAlive(owner)) return false;
  const aside = `${lockDir}.${process.pid}`;
  try {
    fs.renameSync(lockDir, aside);
  } catch {
    return true;
  }
  fs.rmSync(aside, { recursive: true, force: true });
  return true;
}

function isOld(file, ms) {
  try {
    return Date.now() - fs.statSync(file).mtimeMs > ms;
  } catch {
    return false;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

// ------------------------------------------------------------------------------------------------------- tools

function read(name) {
  try {
    return fs.readFileSync(at(name), 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function sha256(text) {
  return createHash('sha256').update(text).digest('hex');
}

function announce(what) {
  const startedAt = Date.now();
  console.error(`holdfast setup: ${what} …`);
  return () => console.error(`holdfast setup: done in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
}

/** Runs a program to its end and keeps what it said, for the case that it failed. */
function run(command, args, options) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const keep = (chunk) => (output = (output + chunk).slice(-16_384));
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => resolve({ code: 1, output: `${output}\n${error.message}` }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}
