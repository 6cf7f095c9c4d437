/**
 * A crash run: a real gateway on SQLite, under load from real clients, is killed again and again, and started again on what is left.
 *
 * Stages of a round: ready → load → in one of three rounds a standstill (SIGSTOP) or a step of the wall clock → the moment (a random one, while a message is committed, right after a turn's start, a tool's, a
 * prompt's or a turn's end, or in mid-drain) → the end (`kill -9`, or a power cut) → the data as the end leaves it → start. After the
 * last round everything comes to rest, and the logs are judged (`judge.ts`).
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRecorder, type Recorder } from '../power/recorder.ts';
import { seeded } from '../power/seeded.ts';
import { GatewayBroken, startGateway, STEPPED_CLOCK, type GatewayProcess } from './gateway.ts';
import { judgeRun, type Judgement } from './judge.ts';
import { Person, type Service } from './load.ts';
import { untilEntry } from './moment.ts';
import { restingLogs, sceneOf } from './rest.ts';

export interface CrashOptions {
  readonly kills: number;
  readonly seed: number;
  /** `power`: what was not synced may be gone. */
  readonly mode: 'kill' | 'power';
  /** Proves that power cuts are noticed: as if the store never synced. */
  readonly noSync?: boolean;
  readonly sessions?: number;
  readonly onRound?: (round: number) => void;
}

export interface CrashResult extends Judgement {
  /** What happened to a gateway before its end. */
  readonly incidents: Readonly<Record<Incident, number>>;
  readonly kills: number;
  readonly seed: number;
  readonly moments: Readonly<Record<string, number>>;
}

const MOMENTS = ['any', 'any', 'commit', 'turn-start', 'tool-start', 'prompt-open', 'turn-end', 'drain'] as const;
type Moment = (typeof MOMENTS)[number];

const INCIDENTS = ['standstill', 'clock-step'] as const;
type Incident = (typeof INCIDENTS)[number];
const INCIDENT_SHARE = 1 / 3;
const STANDSTILL_MAX_MS = 2_000;

export async function crashRun({
  kills,
  seed,
  mode,
  noSync = false,
  sessions = 6,
  onRound,
}: CrashOptions): Promise<CrashResult> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'holdfast-crash-'));
  const random = seeded(seed);
  const workspace = path.join(dir, 'workspace');
  const toolFile = path.join(workspace, 'lines.txt');
  await mkdir(workspace, { recursive: true });
  const service: Service = { url: undefined, epoch: 0 };
  const people = Array.from({ length: sessions }, (_, n) => new Person(`s_${seed}_${n}`, service, sceneOf(n)));
  const loads = people.flatMap((person) => [person.send(3), person.read()]);
  const moments: Record<string, number> = {};
  const incidents: Record<Incident, number> = { standstill: 0, 'clock-step': 0 };
  let data = path.join(dir, 'data-0');
  await mkdir(data);
  const env = (): Record<string, string> => ({
    HOLDFAST_DATA: data,
    HOLDFAST_WORKSPACE: workspace,
    HOLDFAST_MODEL_TOOLS: 'shell',
    HOLDFAST_UNSANDBOXED_TOOLS: '1',
    HOLDFAST_DRAIN_MS: '2000',
    ...(mode === 'kill' ? STEPPED_CLOCK : {}),
  });

  try {
    for (let round = 1; round <= kills; round += 1) {
      const recorder = mode === 'power' ? await openRecorder(data, path.join(dir, `recording-${round}`)) : undefined;
      const gateway = await startGateway({
        ...env(),
        ...recorder?.env,
        ...(noSync ? { POWER_CUT_NO_SYNC: '1' } : {}),
      });
      service.url = gateway.url;
      if (mode === 'kill' && random() < INCIDENT_SHARE) {
        const incident = INCIDENTS[Math.floor(random() * INCIDENTS.length)] ?? 'standstill';
        incidents[incident] += 1;
        await suffer(incident, gateway, random);
      }
      const moment = MOMENTS[Math.floor(random() * MOMENTS.length)] ?? 'any';
      moments[moment] = (moments[moment] ?? 0) + 1;
      await theMoment(moment, people, gateway, random);
      data = await end(gateway, service, recorder, data, path.join(dir, `data-${round}`), random);
      onRound?.(round);
    }
    const last = await startGateway(env());
    service.url = last.url;
    for (const person of people) person.stop();
    await Promise.all(loads);
    const logs = await restingLogs(
      last.url,
      people.map((person) => person.sessionId),
    );
    const toolLines = (await readFile(toolFile, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
    last.kill('SIGTERM');
    await last.gone;
    return { kills, seed, moments, incidents, ...judgeRun(people, logs, toolLines) };
  } catch (error) {
    if (!(error instanceof GatewayBroken)) throw error;
    // What does not start again has lost everything.
    const nothing = { doubled: [], reordered: [], stuck: [], wrong: [], turns: 0, interrupted: 0, seen: 0 };
    const acknowledged = people.reduce((sum, person) => sum + person.acknowledged.length, 0);
    return { kills, seed, moments, incidents, acknowledged, ...nothing, lost: [error.message] };
  } finally {
    for (const person of people) person.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

async function suffer(incident: Incident, gateway: GatewayProcess, random: () => number): Promise<void> {
  await sleep(random() * 300);
  if (incident === 'clock-step') return gateway.kill('SIGUSR2');
  gateway.kill('SIGSTOP');
  await sleep(random() * STANDSTILL_MAX_MS);
  gateway.kill('SIGCONT');
}

async function theMoment(
  moment: Moment,
  people: readonly Person[],
  gateway: GatewayProcess,
  random: () => number,
): Promise<void> {
  const waitMs = 30 + random() * 450;
  if (moment === 'any') return void (await sleep(waitMs));
  if (moment === 'drain') {
    await sleep(waitMs);
    gateway.kill('SIGTERM');
    return void (await sleep(random() * 200));
  }
  await untilEntry(moment, people, waitMs + 1_000);
  // A commit takes a few milliseconds, from the request to its answer.
  await sleep(random() * (moment === 'commit' ? 4 : 10));
}

/** @returns the directory to go on from */
async function end(
  gateway: GatewayProcess,
  service: Service,
  recorder: Recorder | undefined,
  data: string,
  next: string,
  random: () => number,
): Promise<string> {
  const mark = recorder?.mark() ?? 0;
  // With the power, whatever was still under way is gone: nobody was told.
  if (recorder !== undefined) service.epoch += 1;
  service.url = undefined;
  gateway.kill('SIGKILL');
  await gateway.gone;
  if (recorder === undefined) return data;
  await mkdir(next);
  await recorder.rebuild(mark, next, random);
  await rm(data, { recursive: true });
  return next;
}
