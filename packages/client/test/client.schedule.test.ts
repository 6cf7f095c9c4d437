/**
 * Whatever breaks, in whatever order: a client against the gateway in memory, with the clock turned by hand. A failing
 * schedule is printed and can be run again by its seed.
 *
 * 1. Every message that was sent is in the transcript once, in the order of sending.
 * 2. From the moment it was sent a message is in what is shown, once, in every state that readers are told of.
 * 3. An answer's text never shrinks, and its message keeps its id.
 * 4. In the end the client shows what the gateway has, the outbox is empty, and closing leaves nothing.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import {
  createClient,
  memoryOutbox,
  type HoldfastClient,
  type OutboxStore,
  type Session,
  type SessionState,
} from '../src/index.ts';
import { createTestGateway, type TestGateway } from '../src/testing.ts';
import { HandClock, settled } from './fakes.ts';
import './live-at-once.ts';

type Step =
  | {
      readonly kind:
        | 'send'
        | 'drop'
        | 'go offline'
        | 'come back'
        | 'lose an answer'
        | 'refuse streams'
        | 'reload'
        | 'nudge';
    }
  | { readonly kind: 'let time pass'; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('send' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('drop', 'go offline', 'come back', 'lose an answer', 'refuse streams', 'reload', 'nudge'),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('let time pass' as const), ms: fc.integer({ min: 1, max: 3_000 }) }),
  },
);

class World {
  readonly gateway: TestGateway = createTestGateway({
    script: async function* ({ text }) {
      for (const word of `About ${text} there is this to say.`.split(' ')) {
        await settled();
        yield `${word} `;
      }
    },
  });
  readonly clock: HandClock = new HandClock();
  readonly store: OutboxStore = memoryOutbox();
  readonly streams: 'one' | 'each';
  readonly sent: string[] = [];
  readonly clientIds: string[] = [];
  readonly #rolls: () => number;
  /** What broke 2 and 3, and whatever else was thrown in the client. */
  readonly broken: unknown[] = [];
  client: HoldfastClient;
  session: Session;
  #texts = new Map<string, string>();

  constructor(streams: 'one' | 'each', rolls: () => number) {
    this.streams = streams;
    this.#rolls = rolls;
    this.client = this.#open();
    this.session = this.client.session('s_sim');
  }

  #open(): HoldfastClient {
    return createClient({
      baseUrl: 'http://test',
      transport: this.gateway.transport,
      outbox: this.store,
      subject: 'tester',
      streams: this.streams,
      ports: { clock: this.clock, random: this.#rolls },
      onError: (error) => this.broken.push(error),
    });
  }

  watch(): void {
    this.session = this.client.session('s_sim');
    this.session.store.subscribe(() => this.look(this.session.store.getSnapshot()));
  }

  async act(it: Step): Promise<void> {
    switch (it.kind) {
      case 'send': {
        const text = `message ${this.sent.length}`;
        this.sent.push(text);
        const { clientId } = await this.session.send(text);
        this.clientIds.push(clientId ?? '');
        return;
      }
      case 'drop':
        return this.gateway.drop();
      case 'go offline':
        this.gateway.offline = true;
        return this.gateway.drop();
      case 'come back':
        this.gateway.offline = false;
        this.gateway.streamsRefused = false;
        return;
      case 'lose an answer':
        this.gateway.losesNextAnswer = true;
        return;
      case 'refuse streams':
        this.gateway.streamsRefused = true;
        return this.gateway.drop();
      case 'nudge':
        return this.client.nudge();
      case 'let time pass':
        return this.pass(it.ms);
      case 'reload':
        await this.client.close();
        this.#texts = new Map();
        this.client = this.#open();
        return this.watch();
    }
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 100) {
      this.clock.advance(Math.min(100, ms - passed));
      await settled();
    }
  }

  /** 2 and 3. */
  look({ status, view, outbox, messages }: SessionState): void {
    if (status !== 'ready') return;
    for (const { id, role, text } of messages) {
      if (role === 'assistant' && !text.startsWith(this.#texts.get(id) ?? ''))
        throw new Error(`${id} shrank to '${text}'`);
      if (role === 'assistant') this.#texts.set(id, text);
    }
    for (const clientId of this.clientIds) {
      const shown = [...view.messages, ...view.queue].filter((it) => it.clientId === clientId).length;
      const unsent = outbox.filter((it) => it.clientId === clientId).length;
      if (shown > 1 || unsent > 1 || shown + unsent === 0)
        throw new Error(`${clientId} is shown ${shown} and ${unsent} times`);
    }
  }
}

test.each(['each', 'one'] as const)('R23, R59, E3, E6, E9 in any order of failures (streams: %s)', async (streams) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 30 }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.99, noNaN: true })),
      async (steps, rolls) => {
        const world = new World(streams, () => rolls.next().value ?? 0);
        await world.client.createSession({ id: 's_sim' });
        world.watch();
        for (const it of steps) {
          await world.act(it);
          await settled();
        }
        await world.act({ kind: 'come back' });
        world.gateway.losesNextAnswer = false;
        for (let i = 0; i < 40 && !isDone(world); i++) await world.pass(5_000);

        const { gateway, session, broken } = world;
        expect(broken).toEqual([]);
        const texts = gateway
          .history('s_sim')
          .filter(({ role }) => role === 'user')
          .map(({ text }) => text);
        expect(texts).toEqual(world.sent); // 1
        const state = session.store.getSnapshot();
        expect(state.view).toEqual(gateway.view('s_sim')); // 4
        expect(state.outbox).toEqual([]);
        expect(await world.store.all()).toEqual([]);
        await world.client.close();
        expect(gateway.streams).toBe(0);
        expect(world.clock.pending).toBe(0);
      },
    ),
    { numRuns: 150 },
  );
});

function isDone({ session, sent, gateway }: World): boolean {
  const { view, outbox, status } = session.store.getSnapshot();
  return (
    status === 'ready' &&
    outbox.length === 0 &&
    view.turns.length + view.earlierTurns === sent.length &&
    view.seq === gateway.view('s_sim').seq &&
    view.turn === null &&
    view.closing === null
  );
}
