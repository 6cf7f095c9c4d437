/**
 * Power cuts: what a process asked of its data files, recorded by `shim.c`, and the files as a cut at any moment leaves them.
 *
 * Stages: build the shim with the machine's C compiler → run a process under it (`env`) → note the length of the recording
 * at the moments that matter (`mark`) → `rebuild` the files as they were at a mark, for a disk that keeps what was synced
 * and, of everything else, any part it likes.
 *
 * 1. A file is as it was at its last sync before the cut. Of what was asked later, each write survives or not, alone, whole
 *    or cut at a sector, as the seed says: an honest disk promises no more.
 * 2. Creating, renaming and removing a file is taken to last: SQLite syncs the directory itself where it matters, and that
 *    call is not followed here.
 * 3. kill -9 leaves the page cache alive and so proves nothing of this: a store that never syncs passes it.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

const SECTOR_BYTES = 512;
const HEAD_BYTES = 24;
const KINDS = ['none', 'write', 'truncate', 'sync', 'unlink', 'rename'] as const;

export interface Recorder {
  /** For the process under test. */
  readonly env: Readonly<Record<string, string>>;
  /** How much has been recorded by now: everything that the process knew to be synced is before it. */
  mark(): number;
  /** Writes the files of the data directory, as a power cut at this mark leaves them, into an empty directory. */
  rebuild(mark: number, into: string, random: () => number): Promise<void>;
}

/** @throws where there is no C compiler, with the cure. */
export async function openRecorder(dataDir: string, recordingFile: string): Promise<Recorder> {
  const shim = await buildShim();
  await writeFile(recordingFile, '');
  // What was there before is on the disk.
  const before = new Map((await filesBelow(dataDir)).map((file) => [file, readFileSync(file)]));
  return {
    env: { LD_PRELOAD: shim, POWER_CUT_DIR: dataDir, POWER_CUT_LOG: recordingFile },
    mark: () => statSync(recordingFile).size,
    rebuild: (mark, into, random) =>
      rebuild(dataDir, before, readFileSync(recordingFile).subarray(0, mark), into, random),
  };
}

async function filesBelow(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
}

const COMPILERS = ['cc', 'gcc', 'clang'];

async function buildShim(): Promise<string> {
  const source = new URL('shim.c', import.meta.url).pathname;
  const hash = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16);
  const shim = path.join(os.tmpdir(), `holdfast-power-${hash}.so`);
  if (existsSync(shim)) return shim;
  const draft = `${shim}.${process.pid}`;
  for (const compiler of COMPILERS) {
    try {
      execFileSync(compiler, ['-shared', '-fPIC', '-O2', '-o', draft, source, '-ldl', '-lpthread'], { stdio: 'pipe' });
      await rename(draft, shim);
      return shim;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  }
  throw new Error(
    'Power cuts are recorded by a small C library, and there is no C compiler (cc, gcc or clang) here. Install one.',
  );
}

interface Step {
  readonly kind: (typeof KINDS)[number];
  readonly path: string;
  readonly offset: number;
  readonly data: Buffer;
}

function* steps(recording: Buffer): Generator<Step> {
  for (let at = 0; at + HEAD_BYTES <= recording.length;) {
    const kind = KINDS[recording.readUInt32LE(at)] ?? 'none';
    const pathBytes = recording.readUInt32LE(at + 4);
    const offset = Number(recording.readBigUInt64LE(at + 8));
    const dataBytes = Number(recording.readBigUInt64LE(at + 16));
    const body = at + HEAD_BYTES;
    const end = body + pathBytes + dataBytes;
    // A record that was being written at the mark was not known to anybody.
    if (end > recording.length) return;
    yield {
      kind,
      path: recording.toString('utf8', body, body + pathBytes),
      offset,
      data: recording.subarray(body + pathBytes, end),
    };
    at = end;
  }
}

/** A file's synced content and what was asked of it since. */
class DiskFile {
  #content: Buffer;
  #unsynced: Step[] = [];

  constructor(content: Buffer = Buffer.alloc(0)) {
    this.#content = Buffer.from(content);
  }

  ask(step: Step): void {
    this.#unsynced.push(step);
  }

  sync(): void {
    for (const step of this.#unsynced) this.#apply(step, step.data.length);
    this.#unsynced = [];
  }

  /** Rule 1. */
  cut(random: () => number): Buffer {
    for (const step of this.#unsynced) {
      const fate = random();
      if (fate < 0.5) continue;
      const sectors = Math.floor((random() * step.data.length) / SECTOR_BYTES) * SECTOR_BYTES;
      this.#apply(step, fate < 0.75 ? step.data.length : sectors);
    }
    return this.#content;
  }

  #apply({ kind, offset, data }: Step, bytes: number): void {
    if (kind === 'truncate') this.#resize(offset);
    if (kind !== 'write' || bytes === 0) return;
    if (offset + bytes > this.#content.length) this.#resize(offset + bytes);
    data.copy(this.#content, offset, 0, bytes);
  }

  #resize(size: number): void {
    const resized = Buffer.alloc(size);
    this.#content.copy(resized, 0, 0, size);
    this.#content = resized;
  }
}

async function rebuild(
  dataDir: string,
  before: ReadonlyMap<string, Buffer>,
  recording: Buffer,
  into: string,
  random: () => number,
): Promise<void> {
  const files = new Map([...before].map(([name, content]) => [name, new DiskFile(content)]));
  for (const step of steps(recording)) {
    const file = files.get(step.path) ?? new DiskFile();
    files.set(step.path, file);
    if (step.kind === 'sync') file.sync();
    else if (step.kind === 'unlink') files.delete(step.path);
    else if (step.kind === 'rename') {
      files.delete(step.path);
      files.set(step.data.toString('utf8'), file);
    } else file.ask(step);
  }
  for (const [name, file] of files) {
    const target = path.join(into, path.relative(dataDir, name));
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, file.cut(random));
  }
}
