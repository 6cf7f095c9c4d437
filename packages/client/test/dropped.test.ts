/** Clients of which nobody holds anything any more, with the collector at hand (`--expose-gc`). */
import { expect, test, vi } from 'vitest';

import { createClient, type ClientOptions, type HoldfastClient, type Session } from '../src/index.ts';
import { nodeTransport } from '../src/node/index.ts';
import { openStand, TOKEN, until, type Stand } from './stand.ts';

const modes = ['each', 'one', 'shared'] as const;
let people = 0;

/** As a user makes it: the test does not hold it. */
const bare = ({ proxy }: Stand, options: Partial<ClientOptions> = {}): HoldfastClient =>
  createClient({
    baseUrl: proxy.origin,
    token: TOKEN,
    subject: `person ${++people}`,
    transport: nodeTransport(),
    ...options,
  });

/** Resolves when the collector has made it true: what knew it in this turn of the loop has to end first. */
const collected = (isTrue: () => void): Promise<void> =>
  vi.waitFor(
    () => {
      globalThis.gc?.();
      isTrue();
    },
    { timeout: 60_000, interval: 20 },
  );

async function collectSometimes(): Promise<void> {
  for (let i = 0; i < 10; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test.each(modes)(
  'B7: a client that is dropped while it streams is collected, and its sockets close (streams: %s)',
  async (streams) => {
    const stand = await openStand();
    const hints = new Set<unknown>();
    const lifecycle = {
      visible: () => true,
      subscribe: (listener: unknown) => {
        hints.add(listener);
        return () => hints.delete(listener);
      },
    };
    const read = async (): Promise<WeakRef<HoldfastClient>> => {
      const client = bare(stand, { streams, ports: { lifecycle } });
      const session = await client.createSession();
      // Listeners that know all of it do not hold it.
      session.store.subscribe(() => session.store.getSnapshot());
      client.sessions.subscribe(() => client.sessions.getSnapshot());
      client.onTurnEnd(() => client.inspect());
      const turn = await session.send('/scene plain tokens=20000 rate=50');
      await until(
        session.store,
        ({ view }) => view.turn !== null && view.messages.some(({ text, role }) => role === 'assistant' && text !== ''),
      );
      void turn;
      return new WeakRef(client);
    };
    const client = await read();
    expect(stand.proxy.open).toBeGreaterThan(0);
    await collected(() => expect(client.deref() === undefined).toBe(true));
    await collected(() => expect([stand.proxy.open, hints.size]).toEqual([0, 0]));
  },
);

test.each(modes)(
  'B7: who holds a session, its store or the end of a subscription holds the client (streams: %s)',
  async (streams) => {
    const stand = await openStand();
    const open = async (): Promise<Session> => bare(stand, { streams }).createSession();
    const held = {
      session: await open(),
      store: (await open()).store,
      end: (await open()).store.subscribe(() => {}),
    };
    const texts: string[] = [];
    held.session.store.subscribe(() => texts.push('told'));
    const ends = held.store.subscribe(() => {});
    await until(held.session.store, ({ status }) => status === 'ready');
    await until(held.store, ({ status }) => status === 'ready');
    await expect.poll(() => stand.proxy.open).toBeGreaterThanOrEqual(3);
    await collectSometimes();
    const before = texts.length;
    await (
      await held.session.send('hello')
    ).done;
    expect(texts.length).toBeGreaterThan(before);
    expect(held.store.getSnapshot().connection.kind).toBe('live');
    held.end();
    ends();
  },
);

test.each(modes)('B7: who waits for a turn’s text holds nothing else, and gets it (streams: %s)', async (streams) => {
  const stand = await openStand();
  const ask = async (): Promise<string> => {
    const session = await bare(stand, { streams, lingerMs: 10 }).createSession();
    await session.ready();
    return (await session.send('/scene plain tokens=30 rate=60 seed=7')).text();
  };
  let isOver = false;
  const asking = ask().finally(() => (isOver = true));
  while (!isOver) await collectSometimes();
  expect((await asking).length).toBeGreaterThan(20);
  await collected(() => expect(stand.proxy.open).toBe(0));
});
