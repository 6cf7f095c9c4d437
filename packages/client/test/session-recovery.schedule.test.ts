/**
 * A session whose stream does not come through while plain requests do. The clock is turned by hand; the gateway is the one in
 * memory, and its agent goes on when the test says so.
 */
import { describe, expect, test } from 'vitest';

import { createClient, type HoldfastClient, type Session, type SessionState } from '../src/index.ts';
import { createTestGateway, type TestGateway } from '../src/testing.ts';
import { hasShown } from '../src/session-recovery.ts';
import { BLOCKS, blockedTransport, type BlockedTransport, type BlockName } from './blocked-streams.ts';
import { HandClock, settled } from './fakes.ts';
import './live-at-once.ts';

const STEP_MS = 50;
const SOON_MS = 1_500;

class World {
  readonly clock: HandClock = new HandClock();
  readonly #gates = new Map<string, () => void>();
  readonly gateway: TestGateway;
  readonly transport: BlockedTransport;
  readonly client: HoldfastClient;
  session!: Session;
  leave: () => void = () => {};

  constructor(streams: 'one' | 'each', random: () => number = () => 0.9) {
    const passes = (text: string): Promise<void> => new Promise((resolve) => this.#gates.set(text, resolve));
    this.gateway = createTestGateway({
      script: async function* ({ text }) {
        yield `On ${text}: `;
        await passes(text);
        yield 'done.';
      },
    });
    this.transport = blockedTransport(this.gateway.transport);
    this.client = createClient({
      baseUrl: 'http://test',
      transport: this.transport,
      streams,
      lingerMs: 0,
      ports: { clock: this.clock, random },
      onError: (error) => {
        throw error;
      },
    });
  }

  static async open(streams: 'one' | 'each', random?: () => number): Promise<World> {
    const world = new World(streams, random);
    world.session = await world.client.createSession({ id: 's_test' });
    world.look();
    await settled();
    return world;
  }

  look(): void {
    this.leave = this.session.store.subscribe(() => {});
  }

  get state(): SessionState {
    return this.session.store.getSnapshot();
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      this.clock.advance(STEP_MS);
      await settled();
    }
  }

  /** The agent's answer to this message ends. */
  finish(text: string): void {
    this.#gates.get(text)?.();
  }

  async send(text: string): Promise<void> {
    await this.session.send(text);
    await settled();
  }

  /** How long it takes until this is shown, in milliseconds. */
  async until(isTrue: (state: SessionState) => boolean): Promise<number> {
    const from = this.clock.now();
    while (!isTrue(this.state)) {
      if (this.clock.now() - from > 60_000) throw new Error('not shown within a minute');
      await this.pass(STEP_MS);
    }
    return this.clock.now() - from;
  }

  block(how: BlockName): void {
    this.transport.streams = how;
    this.gateway.drop();
  }

  async close(): Promise<void> {
    await this.client.close();
    expect(this.clock.pending).toBe(0);
    expect(this.gateway.streams).toBe(0);
  }
}

const ended =
  (count: number) =>
  ({ view }: SessionState): boolean =>
    view.turns.filter(({ outcome }) => outcome === 'completed').length === count;

const blocks = Object.keys(BLOCKS) as BlockName[];

describe.each(['each', 'one'] as const)('streams: %s', (streams) => {
  test.each(blocks)(
    'R110: three queued turns while the stream is %s, each shown within 1.5 s of its end',
    async (how) => {
      const world = await World.open(streams);
      for (const text of ['one', 'two', 'three']) await world.send(text);
      await world.until(({ view }) => view.messages[1]?.text === 'On one: ' && view.queue.length === 2);
      world.block(how);
      for (const [index, text] of ['one', 'two', 'three'].entries()) {
        // Long enough for every back-off of the stream to have grown.
        await world.pass(13_000);
        expect(world.state.view.turns.filter(({ outcome }) => outcome !== null)).toHaveLength(index);
        world.finish(text);
        expect(await world.until(ended(index + 1))).toBeLessThanOrEqual(SOON_MS);
      }
      expect(world.state.messages.filter(({ role }) => role === 'assistant').map(({ text }) => text)).toEqual(
        ['one', 'two', 'three'].map((text) => `On ${text}: done.`),
      );
      expect(world.state.view.seq).toBe(world.gateway.view('s_test').seq);
      // What needs no recovery asks for nothing.
      await world.pass(2_000);
      const { length } = world.transport.asked;
      await world.pass(20_000);
      expect(world.transport.asked).toHaveLength(length);
      await world.close();
    },
  );

  test.each(blocks)(
    'R110, E6: a message that is sent while the stream is %s is answered within 1.5 s of its end',
    async (how) => {
      const world = await World.open(streams);
      await world.send('one');
      world.finish('one');
      await world.until(ended(1));
      world.block(how);
      await world.pass(5_000);
      await world.send('two');
      expect(await world.until(({ view }) => view.turn !== null)).toBeLessThanOrEqual(SOON_MS);
      await world.pass(10_000);
      world.finish('two');
      expect(await world.until(ended(2))).toBeLessThanOrEqual(SOON_MS);
      expect(world.state.outbox).toEqual([]);
      await world.close();
    },
  );

  test('R110: a stream that reads again ends the recovery, though it has no news', async () => {
    const world = await World.open(streams);
    await world.send('one');
    await world.until(({ view }) => view.turn !== null);
    world.block('a 503');
    await world.pass(5_000);
    world.transport.streams = undefined;
    await world.until(({ connection }) => connection.kind === 'live');
    await world.pass(200);
    const { length } = world.transport.asked;
    await world.pass(20_000);
    expect(world.transport.asked).toHaveLength(length);
    expect(world.client.inspect().sessions[0]?.recovery).toBe('none');
    world.finish('one');
    await settled();
    expect(ended(1)(world.state)).toBe(true);
    await world.close();
  });

  test('R110: a stream that is opened anew and hangs is recovered from after a second, not after the watchdog', async () => {
    const world = await World.open(streams);
    await world.send('one');
    await world.until(({ view }) => view.turn !== null);
    // Nobody looks for a moment; whoever comes back finds the network silent.
    world.leave();
    await world.pass(STEP_MS);
    expect(world.client.inspect().streams).toBe(0);
    world.transport.streams = 'a connection that hangs';
    world.look();
    world.finish('one');
    expect(await world.until(ended(1))).toBeLessThanOrEqual(SOON_MS);
    await world.close();
  });
});

test('R110: a restart of the gateway is no storm: a client of three sessions asks as one, with back-off', async () => {
  const world = await World.open('each', Math.random);
  const sessions = await Promise.all(['s_b', 's_c'].map((id) => world.client.createSession({ id })));
  for (const session of sessions) {
    session.store.subscribe(() => {});
    await session.send('one');
  }
  await world.send('one');
  await world.pass(500);
  world.block('a connection that is refused');
  world.transport.plain = BLOCKS['a connection that is refused'];
  const { length } = world.transport.asked;
  await world.pass(10_000);
  // At 200 ms each they would be 150.
  expect(world.transport.asked.length - length).toBeLessThanOrEqual(10);
  await world.close();
});

test('R110: a gateway that says when to come back is not asked before', async () => {
  const world = await World.open('one');
  await world.send('one');
  await world.pass(100);
  world.block('a 503');
  world.transport.plain = BLOCKS['a 503 with Retry-After'];
  await world.pass(1_000);
  const { length } = world.transport.asked;
  expect(length).toBeGreaterThan(0);
  await world.pass(18_000);
  expect(world.transport.asked).toHaveLength(length);
  world.transport.plain = undefined;
  world.finish('one');
  await world.until(ended(1));
  await world.close();
});

const TURN = 't_1' as never;
const message = (role: 'user' | 'assistant', text: string, parts: readonly unknown[]): never =>
  ({ role, text, parts, turnId: TURN }) as never;

test.each([
  ['nothing', [], [], false],
  ['the person’s own message', [message('user', 'a question', [{ type: 'text', text: 'a question' }])], [], false],
  ['an empty placeholder of thinking', [message('assistant', '', [{ type: 'thinking', text: '' }])], [], false],
  ['the person’s steer', [message('assistant', '', [{ type: 'steer', text: 'shorter' }])], [], false],
  ['text', [message('assistant', 'an answer', [{ type: 'text', text: 'an answer' }])], [], true],
  ['thinking', [message('assistant', '', [{ type: 'thinking', text: 'hm' }])], [], true],
  ['a tool', [message('assistant', '', [{ type: 'tool', output: '' }])], [], true],
  ['a prompt', [message('assistant', '', [{ type: 'prompt' }])], [], true],
  ['an open prompt', [], [{ turnId: TURN } as never], true],
] as const)('R109, E1: what counts as shown by the agent in this turn: %s', (_name, messages, prompts, isShown) => {
  expect(hasShown({ messages, prompts }, TURN)).toBe(isShown);
  expect(hasShown({ messages, prompts }, 't_2' as never)).toBe(false);
});
