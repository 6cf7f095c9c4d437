/** Every node is replaced, one after the other, while people read, wait and are waited for. */
import { expect, test } from 'vitest';
import { openStand, type Shown, type Stand } from './stand.ts';

/** Somebody who reads a session through the balancer and comes back with their cursor whenever their stream ends. */
class Follower {
  readonly shown: Shown[] = [];
  readonly endings: string[] = [];
  #isOver = false;
  readonly done: Promise<void>;

  constructor(stand: Stand, sessionId: string) {
    this.done = this.#follow(stand, sessionId);
  }

  async until(isIt: (shown: Shown) => boolean): Promise<Shown> {
    for (;;) {
      const found = this.shown.find(isIt);
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  stop(): Promise<void> {
    this.#isOver = true;
    return this.done;
  }

  async #follow(stand: Stand, sessionId: string): Promise<void> {
    for (let cursor = '0'; !this.#isOver;) {
      const watch = stand.watchAnyNode(sessionId, cursor);
      const over = setInterval(() => (this.#isOver ? watch.close() : undefined), 20);
      let taken = 0;
      const take = setInterval(() => {
        this.shown.push(...watch.entries.slice(taken));
        taken = watch.entries.length;
      }, 10);
      await watch.ended;
      clearInterval(over);
      clearInterval(take);
      this.shown.push(...watch.entries.slice(taken));
      cursor = watch.entries.at(-1)?.id ?? cursor;
      const last = watch.shown.at(-1);
      if (!this.#isOver && last !== undefined) this.endings.push(last.event);
    }
  }
}

test('R32, R33, R51: a rolling deploy: parked turns move, running ones finish or end `shutdown`, nobody loses their place and no turn runs twice', async () => {
  const stand = await openStand(3, { HOLDFAST_DRAIN_MS: '1500' });
  const scenes = {
    s_parked: '/scene question rate=500',
    s_short: `/scene plain tokens=60 rate=60`,
    s_long: '/scene long tokens=20000 rate=50',
  };
  const followers = new Map<string, Follower>();
  for (const [sessionId, scene] of Object.entries(scenes)) {
    await stand.open(sessionId);
    followers.set(sessionId, new Follower(stand, sessionId));
    await stand.send(0, sessionId, 'm1', scene);
  }
  const follower = (sessionId: keyof typeof scenes): Follower => followers.get(sessionId)!;
  const { data: prompt } = await follower('s_parked').until(({ event }) => event === 'prompt-open');
  await follower('s_long').until(({ event }) => event === 'text-delta');

  for (const node of [0, 1, 2]) {
    // It leaves, though turns would go on for much longer, and a new one comes up.
    await stand.nodes.roll(node);
    await stand.send(node, 's_short', `after-${node}`, '/scene plain tokens=60 rate=60');
  }
  await stand.ask(1, 'POST', `/v1/sessions/s_parked/prompts/${String(prompt['promptId'])}`, {
    answer: 'blue',
    clientId: 'a1',
  });

  const outcomes = async (sessionId: keyof typeof scenes, count: number): Promise<unknown[]> => {
    const ends = (): Shown[] => follower(sessionId).shown.filter(({ event }) => event === 'turn-end');
    await follower(sessionId).until(() => ends().length === count);
    return ends().map(({ data }) => data['fault'] ?? data['outcome']);
  };
  expect(await outcomes('s_parked', 1)).toEqual(['completed']);
  expect(await outcomes('s_long', 1)).toEqual(['shutdown']);
  for (const outcome of await outcomes('s_short', 4)) expect(['completed', 'shutdown']).toContain(outcome);

  for (const one of followers.values()) {
    await one.stop();
    expect(one.shown.map(({ data }) => data['seq'])).toEqual(one.shown.map((_, index) => index + 1));
    expect(new Set(one.endings)).toEqual(new Set(['goodbye']));
    const starts = one.shown.flatMap(({ event, data }) => (event === 'turn-start' ? [data['turnId']] : []));
    expect(starts).toEqual([...new Set(starts)]);
  }
});
