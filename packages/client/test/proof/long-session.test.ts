/** A session that grows for ever: what is held of it stays bounded, and what was dropped is read again, whole. */
import { expect, test } from 'vitest';

import { createClient, type Message, type SessionState } from '../../src/index.ts';
import { HISTORY_TURNS_MAX } from '../../src/history.ts';
import { createTestGateway } from '../../src/testing.ts';

const TURNS = 500;
/** The view's window. */
const WINDOW_TURNS = 50;
const PAGE_TURNS = 20;
const MESSAGES_MAX = 2 * (HISTORY_TURNS_MAX + WINDOW_TURNS);

/** Messages that were shown and are still somewhere. */
class Held {
  readonly #seen = new WeakSet<Message>();
  readonly #collected = new FinalizationRegistry<undefined>(() => void this.count--);
  count = 0;

  see({ messages }: SessionState): void {
    for (const message of messages) {
      if (this.#seen.has(message)) continue;
      this.#seen.add(message);
      this.#collected.register(message, undefined);
      this.count++;
    }
  }
}

test(`E9: ${TURNS} turns, live and then read backwards: at most 250 are held, and every one is read again as it was`, async () => {
  const gateway = createTestGateway({ script: ({ text }) => `${text}, answered` });
  const client = createClient({
    baseUrl: 'http://test',
    transport: gateway.transport,
    subject: 'ann',
    ports: { random: () => 0 },
  });
  const session = await client.createSession({ id: 's_long' });
  const held = new Held();
  let most = 0;
  const look = (): void => {
    const state = session.store.getSnapshot();
    held.see(state);
    most = Math.max(most, state.messages.length);
  };
  const end = session.store.subscribe(look);
  const collected = (): number => {
    globalThis.gc?.();
    return held.count;
  };
  // The state of the last look and the one that is built now may differ by the turn that runs.
  const heldMax = MESSAGES_MAX + 2 * WINDOW_TURNS;

  for (let i = 0; i < TURNS; i++) await (await session.send(`question ${i}`)).done;
  await expect.poll(() => session.store.getSnapshot().view.turns.at(-1)?.outcome).toBe('completed');
  await expect.poll(collected).toBeLessThanOrEqual(heldMax);

  session.latest();
  const all = gateway.history('s_long');
  expect(all.length).toBe(2 * TURNS);
  const read = new Map<string, string>();
  const take = (): void => {
    const { messages, earlier } = session.store.getSnapshot();
    for (const { id, text } of messages) read.set(id, text);
    // What is shown before the gap is one piece of the history.
    const shown = messages.slice(0, earlier.gap ? 2 * HISTORY_TURNS_MAX : undefined).map(({ id }) => id);
    const at = all.findIndex(({ id }) => id === shown[0]);
    expect(shown).toEqual(all.slice(at, at + shown.length).map(({ id }) => id));
  };
  take();
  for (let pages = 0; session.store.getSnapshot().earlier.more; pages++) {
    expect(await session.earlier()).toMatchObject({ kind: 'page' });
    take();
    expect(pages).toBeLessThan(TURNS / PAGE_TURNS + 1);
  }
  expect(read).toEqual(new Map(all.map(({ id, text }) => [id, text])));
  expect(most).toBeLessThanOrEqual(MESSAGES_MAX);
  await expect.poll(collected).toBeLessThanOrEqual(heldMax);

  // Back at the end nothing of all that is left.
  session.latest();
  const last = all.slice(-2 * WINDOW_TURNS).map(({ id }) => id);
  await expect.poll(() => session.store.getSnapshot().messages.map(({ id }) => id)).toEqual(last);
  await expect.poll(collected).toBeLessThanOrEqual(4 * WINDOW_TURNS);
  end();
  await client.close();
});
