/** Rows of another version of the fold: read as what they are, made again once, and beside those of the other version. */
import { afterEach, expect, test } from 'vitest';
import type { MemoryStore } from '@holdfast/log/memory';
import type { SessionId } from '@holdfast/protocol';
import { loadCheckpoint } from '../src/rows.ts';
import { echo, scripted, World } from './world.ts';

const TURNS = 60;
const agents = [scripted(echo)];
const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);
const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

const checkpoints = (store: MemoryStore, sessionId: SessionId): readonly string[] =>
  store.rows.list({ table: 'checkpoint', stream: `session/${sessionId}`, limit: 10 }).map(({ key }) => key);

/** A session as a version of before left it: with its own checkpoint, and turns as that version folded them. */
async function ofBefore(): Promise<{ readonly store: MemoryStore; readonly sessionId: SessionId }> {
  const world = await World.open(agents);
  const { store, sessionId } = world;
  for (let n = 1; n <= TURNS; n += 1) await world.say(`n${n}`);
  await world.idle();
  await world.service.drain(1_000);
  await world.close();
  const stream = `session/${sessionId}`;
  const [line] = store.rows.list({ table: 'session', stream, limit: 1 });
  const [checkpoint] = store.rows.list({ table: 'checkpoint', stream, limit: 1 });
  const { foldVersion: _now, ...before } = JSON.parse(text(line?.value)) as Record<string, unknown>;
  store.rows.erase(stream, []);
  store.rows.apply(stream, [
    { table: 'session', key: 'session', order: 0, group: 'ann', value: bytes(before) },
    { table: 'checkpoint', key: 'checkpoint', order: checkpoint!.order, value: checkpoint!.value! },
    { table: 'turn', key: 't_odd', order: 2, group: 'ann', value: bytes({ shape: 'of before' }) },
  ]);
  return { store, sessionId };
}

let world: World;
afterEach(() => world.close());

test('an opening with rows of another version makes its own, and the next opening begins with them', async () => {
  const { store, sessionId } = await ofBefore();
  world = await World.open(agents, { store, sessionId });
  const view = await world.view();
  await expect.poll(() => checkpoints(store, sessionId)).toHaveLength(2);
  await world.service.drain(1_000);
  await world.close();

  world = await World.open(agents, { store, sessionId });
  expect((await loadCheckpoint(world.log, sessionId)).view).toEqual(view);
  expect(await world.view()).toEqual(view);
  // Pages of before the window are of this version too.
  const page = await world.service.messages(sessionId, { limit: 100 });
  expect(page.kind === 'ok' && page.turns.map(({ messages }) => messages[0]?.text)).toEqual(
    Array.from({ length: TURNS - 50 }, (_, n) => `n${n + 1}`),
  );
});

test('versions side by side keep a checkpoint each', async () => {
  const { store, sessionId } = await ofBefore();
  world = await World.open(agents, { store, sessionId });
  await world.view();
  await expect.poll(() => checkpoints(store, sessionId)).toHaveLength(2);
  expect(checkpoints(store, sessionId)).toContain('checkpoint');
});
