/**
 * `holdfast migrate`: everything of one store into another, which is empty.
 *
 * 1. No gateway runs on either meanwhile. What is copied is a draft until both sides have been read again and are the same.
 * 2. It can be killed at any point; the same command goes on from there.
 * 3. A terminal sees one line that moves; anything else a line a tenth.
 */
import path from 'node:path';
import { systemClock } from '@holdfast/log';
import {
  move,
  survey,
  type MoveProgress,
  type MoveReport,
  type Source,
  type Survey,
  type Target,
} from '@holdfast/log/move';
import { badInput } from './failure.ts';
import { oneLine } from './text.ts';

export interface MigrateOptions {
  readonly from: string;
  readonly to: string;
  readonly dryRun: boolean;
  readonly restart: boolean;
}

type Place = { readonly kind: 'sqlite'; readonly dir: string } | { readonly kind: 'postgres'; readonly url: string };

export async function migrate({ from, to, dryRun, restart }: MigrateOptions): Promise<void> {
  const [sourcePlace, targetPlace] = [placeOf(from, '--from'), placeOf(to, '--to')];
  const source = await openSource(sourcePlace);
  try {
    const target = await openTarget(targetPlace, restart);
    try {
      if (dryRun) await rehearseMove(source, target);
      else say(reportOf(await move(source, target, { onProgress: showProgress() }), source, target));
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function rehearseMove(source: Source, target: Target): Promise<void> {
  const found = await survey(source.tables);
  const begun = await target.look({ from: source.name, fingerprint: found.fingerprint });
  say(`${source.name} holds ${contents(found)}.`);
  say(
    begun.kind === 'finished'
      ? `${target.name} holds all of it already.`
      : begun.place === undefined
        ? `${target.name} is empty: all of it would be copied there. Nothing was changed.`
        : `${target.name} has ${counted(begun.records, 'record')} of it from an earlier run, which would be gone on with. Nothing was changed.`,
  );
}

function placeOf(text: string, option: string): Place {
  if (/^postgres(ql)?:\/\/./.test(text) && URL.canParse(text)) return { kind: 'postgres', url: text };
  const dir = /^sqlite:(?:\/\/)?(.+)$/.exec(text)?.[1];
  if (dir !== undefined) return { kind: 'sqlite', dir: path.resolve(dir.replace(/\/holdfast\.db$/, '')) };
  throw badInput(
    `${option} is '${oneLine(text, 80)}', which names no store that can be migrated. ` +
      'Give sqlite:DIRECTORY (the HOLDFAST_DATA of a gateway) or postgres://user@host/database.',
  );
}

/** Drivers are loaded where they are wanted. */
async function openSource(place: Place): Promise<Source> {
  if (place.kind === 'sqlite') return (await import('@holdfast/log/move/sqlite')).openSqliteSource(place.dir);
  return (await import('@holdfast/log/move/postgres')).openPostgresSource(place.url);
}

async function openTarget(place: Place, restart: boolean): Promise<Target> {
  if (place.kind === 'sqlite')
    return (await import('@holdfast/log/move/sqlite')).openSqliteTarget(place.dir, { restart });
  return (await import('@holdfast/log/move/postgres')).openPostgresTarget(place.url, { restart });
}

function reportOf({ kind, survey: found, digest, resumedAfter }: MoveReport, source: Source, target: Target): string {
  const store = target.name.startsWith('sqlite:')
    ? `HOLDFAST_STORE=sqlite and HOLDFAST_DATA=${target.name.slice('sqlite:'.length)}`
    : 'HOLDFAST_STORE set to the URL that you gave';
  if (kind === 'moved-before') return `${target.name} holds all of ${source.name} already.`;
  const gone =
    resumedAfter.streams > 0 ? ` (an earlier run had copied ${counted(resumedAfter.records, 'record')})` : '';
  return (
    `moved ${contents(found)} to ${target.name}${gone}\n` +
    `both sides were read again and are the same: sha256 ${digest}\n` +
    `start the gateway with ${store}. ${source.name} is as it was.`
  );
}

function contents({ streams, tombstones, records, streamsByKind }: Survey): string {
  const kinds = Object.entries(streamsByKind)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([kind, count]) => `${count} ${kind}`)
    .join(', ');
  const gone = tombstones === 0 ? '' : `, ${tombstones} of them deleted`;
  return `${counted(streams, 'stream')} (${kinds}${gone}) with ${counted(records, 'record')}`;
}

// ── progress ────────────────────────────────────────────────────────────────────────────────────────────────────────

const LINE_MS = 200;

/** Rule 3. */
function showProgress(): (progress: MoveProgress) => void {
  return process.stderr.isTTY ? showMovingLine() : showTenths();
}

function showMovingLine(): (progress: MoveProgress) => void {
  let shown = 0;
  const speed = speedometer();
  return (progress) => {
    const now = systemClock.now();
    const rate = speed(progress, now);
    const isLast = isDone(progress);
    if (now - shown < LINE_MS && !isLast) return;
    shown = now;
    process.stderr.write(`\r\u001B[K${lineOf(progress, rate)}${isLast ? '\n' : ''}`);
  };
}

function showTenths(): (progress: MoveProgress) => void {
  const speed = speedometer();
  let last = '';
  return (progress) => {
    const rate = speed(progress, systemClock.now());
    const tenth = `${progress.stage} ${Math.floor(shareOf(progress) * 10)}`;
    if (tenth === last) return;
    last = tenth;
    process.stderr.write(`${lineOf(progress, rate)}\n`);
  };
}

interface Rate {
  readonly bytesPerS: number;
  readonly leftS: number | undefined;
}

/** Of this run's stage: what an earlier run had copied says nothing of the speed. */
function speedometer(): (progress: MoveProgress, now: number) => Rate {
  let stage: string | undefined;
  let begun = { at: 0, share: 0, bytes: 0 };
  return (progress, now) => {
    if (progress.stage !== stage) begun = { at: now, share: shareOf(progress), bytes: progress.bytes };
    stage = progress.stage;
    const seconds = (now - begun.at) / 1_000;
    const gained = shareOf(progress) - begun.share;
    return {
      bytesPerS: seconds > 0 ? (progress.bytes - begun.bytes) / seconds : 0,
      leftS: gained > 0 && seconds > 1 ? ((1 - shareOf(progress)) / gained) * seconds : undefined,
    };
  };
}

const shareOf = ({ streams, records, of }: MoveProgress): number =>
  of.streams === 0 ? 1 : (streams + records) / (of.streams + of.records);

const isDone = ({ streams, records, of }: MoveProgress): boolean => streams >= of.streams && records >= of.records;

function lineOf({ stage, streams, records, of }: MoveProgress, { bytesPerS, leftS }: Rate): string {
  const left = leftS === undefined || leftS < 1 ? '' : `, ${Math.ceil(leftS)} s left`;
  const percent = Math.floor(shareOf({ stage, streams, records, bytes: 0, of }) * 100);
  return (
    `${stage} ${percent} %: ${records} of ${counted(of.records, 'record')}, ${streams} of ${counted(of.streams, 'stream')}, ` +
    `${(bytesPerS / 1024 ** 2).toFixed(1)} MiB/s${left}`
  );
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

const say = (text: string): void => void process.stdout.write(`${text}\n`);
