/**
 * A real Chromium for tests, from packages alone: no download, no apt, no service.
 *
 * Stages: find an executable → unpack it once per checkout → launch it by playwright-core.
 *
 * Invariants
 *   1. A test never passes because there was no browser. Without one, launching throws and says the cure.
 *   2. Several test files may launch at once: what is unpacked appears whole, by one rename, or not at all.
 *   3. Several processes: a renderer of its own per page, as people run it, so that one can be frozen or killed.
 *   4. Text is never blank: a Latin and a CJK font come along, whatever the machine has.
 */
import { execFile, spawn } from 'node:child_process';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createBrotliDecompress } from 'node:zlib';

import { chromium, type Browser, type LaunchOptions } from 'playwright-core';

/** What a test may ask for: further arguments come after ours, everything else goes to playwright-core as it is. */
export type ChromiumOptions = Omit<LaunchOptions, 'executablePath'>;

/** What a page's action waits for at most. */
const WAIT_MS = 60_000;

type Installation = { readonly executable: string; readonly env: Readonly<Record<string, string>> };

/**
 * Launches a headless Chromium. Close it by `await browser.close()` or `await using`.
 *
 * @throws when there is no Chromium that runs here; the text says what to do (rule 1).
 */
export async function launchChromium(options: ChromiumOptions = {}): Promise<Browser> {
  const { executable, env } = await findChromium();
  try {
    const browser = await chromium.launch({
      ...options,
      executablePath: executable,
      // Rule 3: none of the package's own arguments; they put everything into one process.
      args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none', ...(options.args ?? [])],
      env: { ...definedOnly(process.env), ...env, ...definedOnly(options.env ?? {}) },
    });
    return withPatience(browser);
  } catch (cause) {
    throw new Error(`Chromium did not start from ${executable}. ${cure}`, { cause });
  }
}

/** On a machine that is busy too. Before a test's own limit all the same: then it is said what was waited for. */
function withPatience(browser: Browser): Browser {
  const newContext = browser.newContext.bind(browser);
  browser.newContext = async (options) => {
    const context = await newContext(options);
    context.setDefaultTimeout(WAIT_MS);
    return context;
  };
  return browser;
}

const cure =
  'The browser tests need one: install Chrome or Chromium and set HOLDFAST_CHROME to its executable, ' +
  'for example HOLDFAST_CHROME=/usr/bin/chromium npm test.';

async function findChromium(): Promise<Installation> {
  const chosen = process.env['HOLDFAST_CHROME'];
  if (chosen !== undefined && chosen !== '') {
    if (!existsSync(chosen)) throw new Error(`HOLDFAST_CHROME is '${chosen}', where there is no file. ${cure}`);
    return { executable: chosen, env: {} };
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      `The Chromium that comes with the packages is for Linux x64, and this is ${process.platform} ${process.arch}. ${cure}`,
    );
  }
  const home = await unpackOnce();
  const executable = path.join(home, 'chromium');
  const env: Record<string, string> = { FONTCONFIG_FILE: path.join(home, 'fonts.conf') };
  if (await lacksLibraries(executable)) {
    env['LD_LIBRARY_PATH'] = [path.join(home, 'lib'), process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':');
  }
  return { executable, env };
}

// ------------------------------------------------------------------------------------------------------ unpack

/** Rule 2: unpacked beside its place, then renamed into it; who comes second drops its own. */
async function unpackOnce(): Promise<string> {
  const packed = path.join(path.dirname(fileURLToPath(import.meta.resolve('@sparticuz/chromium'))), '..');
  const { version } = JSON.parse(await readFile(path.join(packed, 'package.json'), 'utf8')) as { version: string };
  const cache = path.join(fileURLToPath(new URL('../../../', import.meta.url)), 'node_modules/.cache/holdfast');
  const home = path.join(cache, `chromium-${version}`);
  if (existsSync(home)) return home;

  await mkdir(cache, { recursive: true });
  const draft = await mkdtemp(`${home}.`);
  try {
    const bin = path.join(packed, 'bin');
    await pipeline(
      createReadStream(path.join(bin, 'chromium.br')),
      createBrotliDecompress(),
      createWriteStream(path.join(draft, 'chromium')),
    );
    await chmod(path.join(draft, 'chromium'), 0o755);
    for (const archive of ['swiftshader', 'al2023', 'fonts']) await untar(path.join(bin, `${archive}.tar.br`), draft);
    await writeFile(path.join(draft, 'fonts.conf'), fontsConf([path.join(home, 'fonts'), cjkFontDir()]));
    await rename(draft, home);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(home)) throw new Error(`Chromium was not unpacked into ${home}. ${cure}`, { cause: error });
  }
  return home;
}

async function untar(archive: string, dir: string): Promise<void> {
  const tar = spawn('tar', ['-x', '-C', dir], { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = new Promise<void>((resolve, reject) => {
    tar.on('error', reject);
    tar.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`tar ended with ${code} on ${archive}`))));
  });
  const fed = pipeline(createReadStream(archive), createBrotliDecompress(), tar.stdin).catch((error: unknown) => {
    // tar reads no further than the archive's end mark, and may be gone before the padding behind it: its exit code says how it went.
    if (!(error instanceof Error && 'code' in error && TAR_IS_GONE.has(String(error.code)))) throw error;
  });
  await Promise.all([fed, ended]);
}

const TAR_IS_GONE: ReadonlySet<string> = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'EPIPE', 'ECONNRESET']);

/** The package brings libraries for a system without them; where the system has its own, those are the right ones. */
async function lacksLibraries(executable: string): Promise<boolean> {
  try {
    const { stdout } = await promisify(execFile)('ldd', [executable]);
    return stdout.includes('not found');
  } catch {
    return true;
  }
}

// ------------------------------------------------------------------------------------------------------- fonts

/** Rule 4. An open font (OFL) with kana and the common Han characters, as one TrueType file. */
function cjkFontDir(): string {
  return path.dirname(fileURLToPath(import.meta.resolve('@expo-google-fonts/sawarabi-gothic')));
}

function fontsConf(dirs: readonly string[]): string {
  const cacheDir = '<cachedir prefix="xdg">fontconfig</cachedir>';
  const ours = dirs.map((dir) => `<dir>${dir}</dir>`).join('\n  ');
  return `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  ${ours}
  ${cacheDir}
</fontconfig>
`;
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((pair): pair is [string, string] => pair[1] !== undefined));
}
