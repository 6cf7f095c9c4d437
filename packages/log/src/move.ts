/**
 * Moving everything from one store to another, table by table, so that whatever was promised before is kept after.
 *
 * Stages: survey the source → copy it, in parts that each carry the place behind them → read both sides again and compare
 * a digest per stream → put the draft in place, in one step.
 *
 *  M1  Nobody works on the source meanwhile: it is held for the whole time, and one that is in use is refused.
 *  M2  What is copied is a draft. No gateway can open it; it is put in place only where all digests agree.
 *  M3  A part and the place behind it are one transaction of the target: killed anywhere, the next run goes on from there.
 *  M4  A draft is gone on with only for the source that it was begun from, and only where that has not changed since.
 *  M5  Seqs, times, bytes, tags, keys, epochs and revs are those of the source: an old cursor finds its record, a retry its answer,
 *      and an old owner's fence stays old. Leases are not moved: whoever held something is gone.
 *  M6  One transaction's parts are in memory at a time, about a mebibyte.
 */
import { fault, FaultError } from '@holdfast/protocol';
import { digestStreams, SECTIONS, type StreamDigest } from './move/digest.ts';
import type { Origin, Part, Source, Survey, Tables, Target } from './move/port.ts';
import { partBytes, survey, walk } from './move/walk.ts';

export type { Source, Survey, Target } from './move/port.ts';
export { survey } from './move/walk.ts';

const BATCH_BYTES_MAX = 1024 * 1024;
const DIFFERENCES_SHOWN_MAX = 5;

export interface MoveProgress {
  readonly stage: 'copying' | 'comparing';
  readonly streams: number;
  readonly records: number;
  /** Since this run began. */
  readonly bytes: number;
  readonly of: Survey;
}

export interface MoveReport {
  readonly kind: 'moved' | 'moved-before';
  readonly survey: Survey;
  /** What an earlier run had copied. */
  readonly resumedAfter: { readonly streams: number; readonly records: number };
  readonly bytes: number;
  /** Of all digests: two stores with the same one hold the same. */
  readonly digest: string;
}

export interface MoveOptions {
  readonly onProgress?: (progress: MoveProgress) => void;
  /** What one transaction of the target takes at most, besides `BATCH_BYTES_MAX`. Default 500. */
  readonly batchPartsMax?: number;
}

/** @throws FaultError where the target cannot be used, or the two sides differ in the end. */
export async function move(
  source: Source,
  target: Target,
  { onProgress, batchPartsMax = 500 }: MoveOptions = {},
): Promise<MoveReport> {
  const found = await survey(source.tables);
  const origin: Origin = { from: source.name, fingerprint: found.fingerprint };
  const begun = await target.begin(origin);
  if (begun.kind === 'finished')
    return { kind: 'moved-before', survey: found, resumedAfter: found, bytes: 0, digest: begun.digest };
  const done = { streams: begun.streams, records: begun.records, bytes: 0 };
  const tell = (stage: MoveProgress['stage'], now: typeof done): void => onProgress?.({ stage, ...now, of: found });

  tell('copying', done);
  for await (const parts of batches(walk(source.tables, begun.place), batchPartsMax)) {
    for (const part of parts) count(done, part);
    await target.load(parts, done);
    tell('copying', done);
  }
  await target.settle(await source.tables.lastRev());

  const digest = await compare(source.tables, await target.tables(), (now) => tell('comparing', now));
  await target.finish(digest);
  const { streams, records } = begun;
  return { kind: 'moved', survey: found, resumedAfter: { streams, records }, bytes: done.bytes, digest };
}

function count(done: { streams: number; records: number; bytes: number }, part: Part): void {
  if (part.kind === 'stream') done.streams += 1;
  if (part.kind === 'records') done.records += part.records.length;
  if (part.kind === 'page') done.records += part.last - part.first + 1;
  done.bytes += partBytes(part);
}

/** M6: many small parts go in one transaction, a large one in its own. */
async function* batches(parts: AsyncIterable<Part>, partsMax: number): AsyncGenerator<readonly Part[]> {
  let batch: Part[] = [];
  let bytes = 0;
  for await (const part of parts) {
    batch.push(part);
    bytes += partBytes(part);
    if (bytes < BATCH_BYTES_MAX && batch.length < partsMax) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

/** @returns the digest of both @throws FaultError that names the streams which differ, and in what (M2) */
async function compare(
  source: Tables,
  target: Tables,
  onStream: (done: { streams: number; records: number; bytes: number }) => void,
): Promise<string> {
  const [left, right] = [digestStreams(source), digestStreams(target)];
  const differences: string[] = [];
  const done = { streams: 0, records: 0, bytes: 0 };
  let whole = '';
  for (;;) {
    const [from, to] = await Promise.all([left.next(), right.next()]);
    if (from.done === true && to.done === true) break;
    const difference = differenceOf(from.value, to.value);
    if (difference !== undefined) differences.push(difference);
    if (differences.length >= DIFFERENCES_SHOWN_MAX || from.done !== to.done) break;
    whole = from.value?.chain ?? whole;
    done.streams += 1;
    done.records += from.value?.records ?? 0;
    done.bytes += from.value?.bytes ?? 0;
    onStream(done);
  }
  await Promise.all([left.return(undefined), right.return(undefined)]);
  const [revs, copiedRevs] = [await source.lastRev(), await target.lastRev()];
  if (revs !== copiedRevs) differences.push(`the last rev is ${revs} in the source and ${copiedRevs} in the copy`);
  if (differences.length === 0) return whole;
  throw new FaultError(
    fault(
      'storage-unavailable',
      `The copy is not what the source holds: ${differences.join('; ')}. Nothing was put in place, and the source is as it was. ` +
        'Check both disks ("holdfast doctor" reads every page), then run the command again with --restart.',
    ),
  );
}

function differenceOf(from: StreamDigest | undefined, to: StreamDigest | undefined): string | undefined {
  if (from === undefined) return `${to?.name} is in the copy alone`;
  if (to === undefined) return `${from.name} is not in the copy`;
  if (from.name !== to.name) return `${from.name} is ${to.name} in the copy`;
  const sections = SECTIONS.filter((section) => from.sections[section] !== to.sections[section]);
  return sections.length === 0 ? undefined : `${from.name} differs in its ${sections.join(', ')}`;
}
