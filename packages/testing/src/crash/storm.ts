/**
 * A storm: three gateways on one PostgreSQL behind a balancer, under load from real clients, while everything that can fail does:
 * gateways are killed, deployed anew and paused beyond their lease, the database is killed and fails over.
 *
 * Stages: the database with its standby → the nodes → the load → the events, in an order that the seed decides, each at a moment
 * that the load decides → rest → the judgement: what people were told against the logs, and the database's own note of fences.
 *
 * 1. One node at a time is paused, and the other events go on meanwhile, on other nodes. Everything else comes one by one: what is
 *    to be shown is that nothing is lost, not that three of three may be away.
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seeded } from '../power/seeded.ts';
import { Database } from './database.ts';
import { STEPPED_CLOCK } from './gateway.ts';
import { judgeRun, type Judgement } from './judge.ts';
import { Person, type Service } from './load.ts';
import { untilEntry, type EntryMoment } from './moment.ts';
import { Nodes } from './nodes.ts';
import { restingLogs, sceneOf } from './rest.ts';

export interface StormOptions {
  /** Of gateways: by SIGKILL, or (one in five) by SIGTERM as a deploy does. */
  readonly kills: number;
  /** A node is stopped for longer than its lease. */
  readonly pauses: number;
  /** The wall clock of a node steps by an hour. */
  readonly clockSteps?: number;
  readonly databaseKills: number;
  readonly failovers: number;
  readonly seed: number;
  readonly sessions?: number;
  readonly onEvent?: (event: StormEvent, number: number) => void;
}

export type StormEvent = 'kill' | 'deploy' | 'pause' | 'clock-step' | 'database-kill' | 'failover';

export interface StormResult extends Judgement {
  readonly seed: number;
  readonly events: Readonly<Record<StormEvent, number>>;
  /** Entries that were written under an old fence. */
  readonly stale: readonly string[];
}

const NODES = [0, 1, 2] as const;
const LEASE_MS = 4_000;
const PAUSE_MS = LEASE_MS + 500;
const PAUSE_MORE_MS = 2_500;
const MOMENTS: readonly (EntryMoment | 'any')[] = ['any', 'any', 'turn-start', 'tool-start', 'prompt-open', 'turn-end'];

export async function storm({ seed, sessions = 6, onEvent, ...counts }: StormOptions): Promise<StormResult> {
  const random = seeded(seed);
  const events = scheduleOf(counts, random);
  const dir = await mkdtemp(path.join(os.tmpdir(), 'holdfast-storm-'));
  const workspace = path.join(dir, 'workspace');
  await mkdir(workspace);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const database = stack.adopt(await Database.start(), (it) => it.stop());
  const nodes = stack.adopt(
    await Nodes.start(NODES.length, dir, () => ({
      HOLDFAST_STORE: database.url,
      HOLDFAST_WORKSPACE: workspace,
      HOLDFAST_MODEL_TOOLS: 'shell',
      HOLDFAST_UNSANDBOXED_TOOLS: '1',
      HOLDFAST_DRAIN_MS: '2000',
      HOLDFAST_LEASE_MS: String(LEASE_MS),
      ...STEPPED_CLOCK,
    })),
    (it) => it.stop(),
  );
  await database.audit();
  const service: Service = { url: nodes.balancer.origin, epoch: 0 };
  const people = Array.from({ length: sessions }, (_, n) => new Person(`s_${seed}_${n}`, service, sceneOf(n)));
  stack.defer(() => people.forEach((person) => person.stop()));
  const loads = people.flatMap((person) => [person.send(3), person.read()]);

  const weather = new Weather(database, nodes, random);
  for (const [index, event] of events.entries()) {
    const moment = MOMENTS[Math.floor(random() * MOMENTS.length)] ?? 'any';
    const waitMs = 30 + random() * 450;
    await (moment === 'any' ? sleep(waitMs) : untilEntry(moment, people, waitMs + 1_000));
    onEvent?.(event, index + 1);
    await weather.strike(event);
  }
  await weather.calm();

  for (const person of people) person.stop();
  await Promise.all(loads);
  const logs = await restingLogs(
    nodes.balancer.origin,
    people.map((person) => person.sessionId),
  );
  const toolLines = (await readFile(path.join(workspace, 'lines.txt'), 'utf8').catch(() => '')).split('\n');
  const judgement = judgeRun(
    people,
    logs,
    toolLines.filter((line) => line !== ''),
  );
  return { seed, events: countsOf(events), ...judgement, stale: await database.staleEntries() };
}

/** Makes things happen (rule 1). */
class Weather {
  readonly #database: Database;
  readonly #nodes: Nodes;
  readonly #random: () => number;
  #paused: number | undefined;
  #pause: Promise<void> = Promise.resolve();

  constructor(database: Database, nodes: Nodes, random: () => number) {
    this.#database = database;
    this.#nodes = nodes;
    this.#random = random;
  }

  async strike(event: StormEvent): Promise<void> {
    switch (event) {
      case 'kill':
        return this.#nodes.kill(this.#someNode());
      case 'deploy':
        return this.#nodes.roll(this.#someNode());
      case 'pause':
        return this.#pauseNext();
      case 'clock-step':
        return this.#nodes.stepClock(this.#someNode());
      case 'database-kill':
        return this.#database.killAndRestart();
      case 'failover':
        return this.#database.failOver();
    }
  }

  /** Everybody is back. */
  calm(): Promise<void> {
    return this.#pause;
  }

  async #pauseNext(): Promise<void> {
    await this.#pause;
    const node = await this.#nodes.busiest(NODES);
    this.#paused = node;
    this.#pause = this.#nodes.pause(node, PAUSE_MS + this.#random() * PAUSE_MORE_MS).then(() => {
      this.#paused = undefined;
    });
  }

  #someNode(): number {
    const there = NODES.filter((node) => node !== this.#paused);
    return there[Math.floor(this.#random() * there.length)] ?? 0;
  }
}

const DEPLOYS = 0.2;

function scheduleOf(
  {
    kills,
    pauses,
    clockSteps = 0,
    databaseKills,
    failovers,
  }: Pick<StormOptions, 'kills' | 'pauses' | 'clockSteps' | 'databaseKills' | 'failovers'>,
  random: () => number,
): readonly StormEvent[] {
  const deploys = Math.round(kills * DEPLOYS);
  const counts = {
    kill: kills - deploys,
    deploy: deploys,
    pause: pauses,
    'clock-step': clockSteps,
    'database-kill': databaseKills,
    failover: failovers,
  };
  return Object.entries(counts)
    .flatMap(([event, count]) => Array.from({ length: count }, () => ({ event: event as StormEvent, order: random() })))
    .toSorted((a, b) => a.order - b.order)
    .map(({ event }) => event);
}

function countsOf(events: readonly StormEvent[]): Record<StormEvent, number> {
  const counts = { kill: 0, deploy: 0, pause: 0, 'clock-step': 0, 'database-kill': 0, failover: 0 };
  for (const event of events) counts[event] += 1;
  return counts;
}
