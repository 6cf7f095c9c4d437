/** A node that is cut off, stopped, or asked to go: its sessions go on elsewhere, once. */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { eventually, openStand, type Shown, type Stand } from './stand.ts';

const env = { HOLDFAST_LEASE_MS: '4000' };
/** A quarter of it is the room between a run's cut and its take-over: enough on a machine that is busy. */
const wide = { HOLDFAST_LEASE_MS: '8000' };
/** The longest there is. What comes long before its end was handed over. */
const long = { HOLDFAST_LEASE_MS: '60000' };
const LONG_BEFORE_MS = 30_000;

/** A tool that says that it lives, every tenth of a second. */
const BEATS = '/scene tool run="while true; do echo beat >> beats.txt; sleep 0.1; done"';

const beatsFile = (stand: Stand): string => path.join(stand.workspace, 'beats.txt');
const beats = async (stand: Stand): Promise<number> =>
  (await readFile(beatsFile(stand), 'utf8').catch(() => '')).length;

/** What a session's log says of its turns, in order. */
async function turnsOf(stand: Stand, node: number, sessionId: string): Promise<readonly Shown['data'][]> {
  const watch = stand.watch(node, sessionId);
  const { body } = await stand.ask(node, 'GET', `/v1/sessions/${sessionId}`);
  await watch.until(({ data }) => data['seq'] === (body as { seq: number }).seq);
  const entries = watch.entries.map(({ data }) => data);
  expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, index) => index + 1));
  return entries.filter(({ type }) => ['message', 'turn-start', 'turn-end'].includes(type as string));
}

const RUN_EVENTS = new Set(['text-delta', 'thinking-delta', 'tool-start', 'tool-output', 'tool-end']);

/** Nobody wrote to a turn after its end. */
function expectNothingAfterEnd(shown: readonly Shown[]): void {
  const ended = new Set<unknown>();
  for (const { data } of shown) {
    if (RUN_EVENTS.has(data['type'] as string)) expect(ended).not.toContain(data['turnId']);
    if (data['type'] === 'turn-end') ended.add(data['turnId']);
  }
}

test('D2, R9, R11: a node whose wire to the database falls silent cuts its run before another node takes over; nothing is doubled, and it comes back', async () => {
  const stand = await openStand(2, wide);
  await stand.open('s_1');
  await stand.send(0, 's_1', 'm1', BEATS);
  await stand.watch(0, 's_1').untilType('tool-start');
  await eventually(async () => (await beats(stand)) > 0);
  const [a, b] = await stand.runner();
  const onB = stand.watch(b, 's_1');
  await onB.untilType('tool-start');

  stand.wires[a]?.silence();
  // Said to a node that cannot write it down: refused, or durable once the wire speaks again.
  const said = stand.send(a, 's_1', 'm2', '/scene plain tokens=5 rate=100').catch(() => undefined);
  const { data } = await onB.untilType('turn-end');
  expect(data).toMatchObject({ outcome: 'interrupted', fault: 'owner-lost' });

  await stand.send(b, 's_1', 'm3', '/scene plain tokens=5 rate=100');
  stand.wires[a]?.speak();
  await said;
  await stand.send(b, 's_1', 'm2', '/scene plain tokens=5 rate=100');
  await eventually(async () => (await stand.send(a, 's_1', 'm4', '/scene plain tokens=5 rate=100')).status === 202);
  await onB.until(({ data }) => data['type'] === 'message' && data['clientId'] === 'm4');
  await eventually(async () => onB.entries.filter(({ event }) => event === 'turn-end').length === 4);
  const turns = await turnsOf(stand, a, 's_1');
  const sent = turns.flatMap(({ type, clientId }) => (type === 'message' ? [clientId as string] : []));
  expect(sent.toSorted()).toEqual(['m1', 'm2', 'm3', 'm4']);
  expect(turns.filter(({ type }) => type === 'turn-start')).toHaveLength(4);
  expectNothingAfterEnd(onB.entries);
  // One machine, one clock: what the kernel says of the last beat there ever was, and the database of the take-over.
  expect((await stat(beatsFile(stand))).mtimeMs).toBeLessThan(Date.parse(data['at'] as string));
});

test('R9: a node that is stopped for longer than its lease can write nothing when it goes on', async () => {
  const stand = await openStand(2, env);
  await stand.open('s_1');
  await stand.send(0, 's_1', 'm1', '/scene long tokens=20000 rate=100');
  await stand.watch(0, 's_1').untilType('text-delta');
  const [a, b] = await stand.runner();
  const onB = stand.watch(b, 's_1');
  stand.nodes.gateway(a).kill('SIGSTOP');
  const taken = await onB.untilType('turn-end');
  expect(taken.data).toMatchObject({ outcome: 'interrupted', fault: 'owner-lost' });
  stand.nodes.gateway(a).kill('SIGCONT');

  // Whatever it would have written, it has tried before this is through.
  const onA = stand.watch(a, 's_1');
  await stand.send(a, 's_1', 'm2', '/scene plain tokens=5 rate=100');
  await onA.until(({ data }) => data['type'] === 'turn-end' && data['outcome'] === 'completed');
  expectNothingAfterEnd(onA.entries);
  const turns = await turnsOf(stand, b, 's_1');
  expect(turns.map(({ type, outcome }) => outcome ?? type)).toEqual([
    'message',
    'turn-start',
    'interrupted',
    'message',
    'turn-start',
    'completed',
  ]);
});

test('R33: a graceful leave hands over: nobody waits for its lease to end', async () => {
  const stand = await openStand(2, { ...long, HOLDFAST_DRAIN_MS: '0' });
  await stand.open('s_1');
  await stand.send(0, 's_1', 'm1', '/scene long tokens=20000 rate=50');
  await stand.send(0, 's_1', 'm2', '/scene plain tokens=5 rate=100');
  await stand.watch(0, 's_1').untilType('text-delta');
  const [a, b] = await stand.runner();
  const onB = stand.watch(b, 's_1');
  await onB.untilType('text-delta');
  const gone = stand.nodes.leave(a);
  const ended = await onB.untilType('turn-end');
  expect(ended.data).toMatchObject({ outcome: 'interrupted', fault: 'shutdown' });
  const isNext = ({ event, data }: Shown): boolean => event === 'turn-start' && data['turnId'] !== ended.data['turnId'];
  await onB.until(isNext, LONG_BEFORE_MS);
  await gone;
});
