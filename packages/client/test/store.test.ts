import { describe, expect, test } from 'vitest';

import { createClient, type ClientOptions, type HoldfastClient, type SessionState } from '../src/index.ts';
import { HISTORY_TURNS_MAX } from '../src/history.ts';
import { createTestGateway, type Script, type TestGateway } from '../src/testing.ts';
import { HandClock, settled } from './fakes.ts';
import './live-at-once.ts';
import { record, until } from './stand.ts';

function clientOf(gateway: TestGateway, more: Partial<ClientOptions> = {}): HoldfastClient {
  return createClient({ baseUrl: 'http://test', transport: gateway.transport, ports: { random: () => 0.02 }, ...more });
}

const isIdle = ({ view, status, outbox }: SessionState): boolean =>
  status === 'ready' && view.turn === null && view.queue.length === 0 && view.closing === null && outbox.length === 0;

/** A script that stops before each word until the test lets it go on. */
function gated(words: readonly string[]): { readonly script: Script; next(): Promise<void> } {
  const waiting: (() => void)[] = [];
  const script: Script = async function* () {
    for (const word of words) {
      await new Promise<void>((resolve) => waiting.push(resolve));
      yield word;
    }
  };
  const next = async (): Promise<void> => {
    while (waiting.length === 0) await settled();
    waiting.shift()?.();
    await settled();
  };
  return { script, next };
}

describe('identity', () => {
  test('E7: while an answer streams, every other message and the unchanged parts of the state stay the same objects', async () => {
    const { script, next } = gated(['a ', 'b ', 'c ']);
    const gateway = createTestGateway({ script: (message) => (message.text === 'first' ? 'done' : script(message)) });
    const client = clientOf(gateway);
    const session = await client.createSession();
    const seen = record(session.store);
    await (
      await session.send('first')
    ).done;
    await until(session.store, isIdle);
    const [user, answer] = session.store.getSnapshot().messages;
    const turn = await session.send('second');
    for (const length of [2, 4, 6]) {
      await next();
      const { messages } = await until(session.store, (state) => state.messages.at(-1)?.text.length === length);
      expect(messages[0]).toBe(user);
      expect(messages[1]).toBe(answer);
    }
    await turn.done;
    for (const [index, state] of seen.states.entries()) {
      const before = seen.states[index - 1];
      if (before === undefined) continue;
      expect(state).not.toBe(before);
      if (state.view.messages === before.view.messages) expect(state.messages).toBe(before.messages);
    }
    await client.close();
  });

  test('E7, R70: a snapshot after a lost connection replaces nothing that is equal', async () => {
    const { script, next } = gated(['a ', 'b ']);
    const gateway = createTestGateway({ script: (message) => (message.text === 'first' ? 'done' : script(message)) });
    const client = clientOf(gateway);
    const session = await client.createSession();
    const end = session.store.subscribe(() => {});
    await (
      await session.send('first')
    ).done;
    const turn = await session.send('second');
    await next();
    await until(session.store, ({ messages }) => messages.at(-1)?.text === 'a ');
    const before = session.store.getSnapshot();
    // Another client's view of the same session comes as a snapshot, as a resync would.
    const { LiveSession } = await import('../src/session.ts');
    if (!(session instanceof LiveSession)) throw new TypeError('ours');
    const copy = JSON.parse(JSON.stringify(gateway.view(session.id))) as SessionState['view'];
    session.model.snapshot({ view: copy, cursor: '0', reason: 'cursor-unknown' });
    const after = session.store.getSnapshot();
    expect(after.view.messages).toBe(before.view.messages);
    expect(after.view.turns).toBe(before.view.turns);
    await next();
    await turn.done;
    end();
    await client.close();
  });
});

describe('telling', () => {
  test('everything that one frame brings is told once; the end of a turn and a prompt at once', async () => {
    const frames: (() => void)[] = [];
    const gateway = createTestGateway({
      script: function* () {
        yield* Array.from({ length: 50 }, (_, i) => `w${i} `);
        yield { type: 'prompt', title: 'sure?', choices: ['yes'] };
        yield 'after';
      },
    });
    const next = (callback: () => void): { cancel(): void } => {
      frames.push(callback);
      return { cancel: () => void frames.splice(frames.indexOf(callback), 1) };
    };
    const client = clientOf(gateway, { ports: { random: () => 0.02, frames: { next } } });
    const session = await client.createSession();
    const seen = record(session.store);
    await session.send('go');
    // No frame is drawn at all: the prompt is told all the same.
    const { view } = await until(session.store, (state) => state.view.prompts.length === 1);
    expect(view.messages[1]?.text.startsWith('w0 w1 ')).toBe(true);
    expect(seen.states.length).toBeLessThan(8);
    const [prompt] = view.prompts;
    if (prompt !== undefined) await session.answer(prompt.promptId, 'yes');
    await until(session.store, (state) => state.view.turns[0]?.outcome === 'completed');
    expect(frames.length).toBeLessThanOrEqual(2);
    await client.close();
  });

  test('R16, R75: a listener that throws harms neither the others nor the stream', async () => {
    const gateway = createTestGateway();
    const errors: unknown[] = [];
    const client = clientOf(gateway, { onError: (error) => errors.push(error) });
    const session = await client.createSession();
    session.store.subscribe(() => {
      throw new Error('mine');
    });
    const seen = record(session.store);
    client.onTurnEnd(() => {
      throw new Error('this one too');
    });
    expect(await (await session.send('x')).text()).toBe('You said: x');
    await until(session.store, isIdle);
    expect(errors.length).toBeGreaterThan(1);
    seen.end();
    await client.close();
  });
});

describe('what overwrites what', () => {
  test('R59, E4: a snapshot from before what is shown changes nothing; a resync to an older log does', async () => {
    const gateway = createTestGateway();
    const client = clientOf(gateway);
    const session = await client.createSession();
    const end = session.store.subscribe(() => {});
    await until(session.store, ({ status }) => status === 'ready');
    const old = JSON.parse(JSON.stringify(gateway.view(session.id))) as SessionState['view'];
    await (
      await session.send('newer')
    ).done;
    await until(session.store, isIdle);
    const { LiveSession } = await import('../src/session.ts');
    if (!(session instanceof LiveSession)) throw new TypeError('ours');
    expect(session.model.snapshot({ view: old, cursor: '0' })).toBe(false);
    expect(session.store.getSnapshot().messages).toHaveLength(2);
    expect(session.model.snapshot({ view: old, cursor: '0', reason: 'cursor-ahead' })).toBe(true);
    expect(session.store.getSnapshot().messages).toEqual([]);
    end();
    await client.close();
  });

  test('E1, E2, R65, R66: the stream is gone for good, requests still work: the settled answer comes by itself, in place', async () => {
    const { script, next } = gated(['a ', 'b ', 'c ']);
    const gateway = createTestGateway({ script });
    const clock = new HandClock();
    const client = clientOf(gateway, { ports: { clock, random: () => 0.999 } });
    const session = await client.createSession();
    const seen = record(session.store);
    const turn = await session.send('go');
    await next();
    await until(session.store, ({ messages }) => messages[1]?.text === 'a ');
    gateway.streamsRefused = true;
    gateway.drop();
    await until(session.store, ({ connection }) => connection.kind === 'waiting');
    expect(client.inspect().sessions[0]?.recovery).toBe('waiting');
    await next();
    await next();
    for (let ms = 0; ms < 3_000; ms += 20) {
      clock.advance(20);
      await settled();
    }
    expect(await turn.text()).toBe('a b c ');
    expect(session.store.getSnapshot().connection.kind).not.toBe('live');
    const texts = seen.states.map(({ messages }) => messages[1]?.text ?? '');
    expect(texts.every((text, index) => index === 0 || text.startsWith(texts[index - 1] ?? ''))).toBe(true);
    expect(new Set(seen.states.map(({ messages }) => messages[1]?.id).filter(Boolean)).size).toBe(1);
    // The stream comes back with entries that are shown already.
    gateway.streamsRefused = false;
    client.nudge();
    for (let i = 0; i < 20; i++) await settled();
    await until(session.store, ({ connection }) => connection.kind === 'live');
    await (
      await session.send('more')
    ).admission;
    await until(session.store, ({ view }) => view.turns.length === 2);
    expect(session.store.getSnapshot().messages[1]?.text).toBe('a b c ');
    expect(session.store.getSnapshot().view).toEqual(gateway.view(session.id));
    await client.close();
  });

  test('E3: a gateway that has lost the run: interrupted after ten answers, with every character seen', async () => {
    const { script, next } = gated(['seen ', 'never']);
    const gateway = createTestGateway({ script });
    const clock = new HandClock();
    const client = clientOf(gateway, { ports: { clock, random: () => 0.999 } });
    const session = await client.createSession();
    const end = session.store.subscribe(() => {});
    await session.send('go');
    await next();
    await until(session.store, ({ messages }) => messages[1]?.text === 'seen ');
    gateway.streamsRefused = true;
    gateway.forgetsTurns = true;
    gateway.drop();
    await until(session.store, ({ connection }) => connection.kind === 'waiting');
    for (let ms = 0; ms < 1_900; ms += 20) {
      clock.advance(20);
      await settled();
    }
    expect(session.store.getSnapshot().view.turn?.turnId).toBeDefined();
    for (let ms = 0; ms < 1_000; ms += 20) {
      clock.advance(20);
      await settled();
    }
    const { view } = session.store.getSnapshot();
    expect(view.turn).toBe(null);
    expect(view.messages[1]).toMatchObject({ text: 'seen ', state: 'interrupted' });
    end();
    await client.close();
  });

  test('E5, R68: the end of a turn takes its prompts, tools and thoughts with it, and touches no other session', async () => {
    const script: Script = function* ({ text }) {
      yield { type: 'thinking', text: text === 'empty' ? '' : 'hm' };
      yield { type: 'prompt', title: `${text}?`, choices: ['yes'] };
    };
    const gateway = createTestGateway({ script });
    const client = clientOf(gateway);
    const [front, back] = await Promise.all([client.createSession(), client.createSession()]);
    const seenFront = record(front.store);
    const seenBack = record(back.store);
    await Promise.all([front.send('visible'), back.send('empty')]);
    await until(front.store, ({ view }) => view.prompts.length === 1);
    await until(back.store, ({ view }) => view.prompts.length === 1);
    const shown = front.store.getSnapshot();
    await back.stop();
    const { view } = await until(back.store, isIdle);
    expect(view).toMatchObject({ prompts: [], turn: null });
    expect(view.messages[1]?.parts).toEqual([expect.objectContaining({ type: 'prompt', outcome: 'cancelled' })]);
    expect(front.store.getSnapshot()).toBe(shown);
    seenFront.end();
    seenBack.end();
    await client.close();
  });
});

describe('older pages', () => {
  const turns = async (gateway: TestGateway, id: string, count: number): Promise<void> => {
    const client = clientOf(gateway);
    const session = await client.createSession({ id });
    for (let i = 0; i < count; i++) await (await session.send(`m${i}`)).done;
    await until(session.store, isIdle);
    await client.close();
  };
  const asked = ({ messages }: SessionState): string[] =>
    messages.filter(({ role }) => role === 'user').map(({ text }) => text);
  const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `m${from + i}`);

  test('are read backwards to the first message, joined without a hole, and the window moves on beneath them', async () => {
    const gateway = createTestGateway();
    await turns(gateway, 's_long', 90);
    const client = clientOf(gateway);
    const session = client.session('s_long');
    const end = session.store.subscribe(() => {});
    await session.ready();
    expect(asked(session.store.getSnapshot())).toEqual(numbers(40, 90));
    expect(session.store.getSnapshot().earlier).toEqual({ more: true, busy: false, gap: false, fault: null });
    expect(await session.earlier()).toEqual({ kind: 'page', turns: 20, more: true });
    expect(await session.earlier()).toEqual({ kind: 'page', turns: 20, more: false });
    expect(await session.earlier()).toEqual({ kind: 'nothing' });
    expect(asked(session.store.getSnapshot())).toEqual(numbers(0, 90));
    // H2: what leaves the window stays in place.
    await (
      await session.send('m90')
    ).done;
    await (
      await session.send('m91')
    ).done;
    const state = await until(session.store, isIdle);
    expect(state.view.earlierTurns).toBe(42);
    expect(asked(state)).toEqual(numbers(0, 92));
    session.latest();
    expect(asked(await until(session.store, ({ messages }) => messages.length === 100))).toEqual(numbers(42, 92));
    expect(await session.earlier()).toMatchObject({ kind: 'page', turns: 20 });
    end();
    await client.close();
  });

  test('are bounded, reading backwards and living long', async () => {
    const gateway = createTestGateway();
    await turns(gateway, 's_longer', 60);
    const client = clientOf(gateway);
    const session = client.session('s_longer');
    const end = session.store.subscribe(() => {});
    await session.ready();
    for (let i = 0; i < HISTORY_TURNS_MAX + 20; i++) await (await session.send(`more ${i}`)).done;
    const { messages } = await until(session.store, isIdle);
    expect(messages.length).toBe((HISTORY_TURNS_MAX + 50) * 2);
    // Reading backwards from here drops the newer end, and says so.
    expect(await session.earlier()).toMatchObject({ kind: 'page' });
    const state = session.store.getSnapshot();
    expect(state.messages.length).toBe((HISTORY_TURNS_MAX + 50) * 2);
    expect(state.earlier.gap).toBe(true);
    session.latest();
    await until(session.store, (it) => !it.earlier.gap && it.messages.length === 100);
    end();
    await client.close();
  });

  test('around an old message: its page, with a gap, and back', async () => {
    const gateway = createTestGateway();
    await turns(gateway, 's_jump', 100);
    const client = clientOf(gateway);
    const session = client.session('s_jump');
    const end = session.store.subscribe(() => {});
    await session.ready();
    const old = [...gateway.history('s_jump')][10];
    if (old === undefined) throw new Error('there are a hundred');
    expect(await session.around(old.id)).toMatchObject({ kind: 'page' });
    const state = session.store.getSnapshot();
    expect(state.earlier.gap).toBe(true);
    expect(state.messages.some(({ id }) => id === old.id)).toBe(true);
    expect(await session.around('m_none' as never)).toMatchObject({
      kind: 'fault',
      fault: { kind: 'message-not-found' },
    });
    end();
    await client.close();
  });

  test('are dropped on another branch, whose past they are not', async () => {
    const gateway = createTestGateway();
    await turns(gateway, 's_fork', 70);
    const client = clientOf(gateway);
    const session = client.session('s_fork');
    const end = session.store.subscribe(() => {});
    const { view } = await session.ready();
    await session.earlier();
    const fork = view.turns[5]?.turnId;
    if (fork === undefined) throw new Error('a turn of the window');
    await (
      await session.send('elsewhere', { after: fork })
    ).done;
    const state = await until(session.store, isIdle);
    expect(asked(state).at(-1)).toBe('elsewhere');
    expect(asked(state)).toEqual([...new Set(asked(state))]);
    expect(asked(state)).not.toContain('m60');
    // At the root: nothing was before.
    await (
      await session.send('anew', { after: null })
    ).done;
    expect(asked(await until(session.store, isIdle))).toEqual(['anew']);
    expect(await session.earlier()).toEqual({ kind: 'nothing' });
    end();
    await client.close();
  });
});

describe('lifetime', () => {
  test('the same object for an id while it is held; dropped ones are collected', async () => {
    const gateway = createTestGateway();
    const client = clientOf(gateway, { lingerMs: 0 });
    const kept = await client.createSession({ id: 's_kept' });
    expect(client.session('s_kept')).toBe(kept);
    for (let i = 0; i < 50; i++) client.session(`s_${i}`).store.getSnapshot();
    await expect
      .poll(() => {
        globalThis.gc?.();
        return client.inspect().sessions.length;
      })
      .toBeLessThan(5);
    expect(client.session('s_kept')).toBe(kept);
    await client.close();
  });

  test('a session that nobody looks at any more lingers, goes on when it is looked at again, and ends otherwise', async () => {
    const gateway = createTestGateway();
    const clock = new HandClock();
    const client = clientOf(gateway, { lingerMs: 1_000, ports: { clock, random: () => 0 } });
    const session = await client.createSession();
    session.store.subscribe(() => {})();
    await session.ready();
    expect(gateway.streams).toBe(1);
    clock.advance(900);
    const end = session.store.subscribe(() => {});
    clock.advance(900);
    expect(gateway.streams).toBe(1);
    end();
    clock.advance(1_001);
    await settled();
    expect(gateway.streams).toBe(0);
    gateway.append(session.id, { type: 'session-set', clientId: 'c_x' as never, author: 'x', title: 'meanwhile' });
    const again = session.store.subscribe(() => {});
    await until(session.store, ({ view }) => view.title === 'meanwhile');
    // From its cursor, not from a snapshot.
    expect(gateway.requests.filter((line) => line.endsWith('/events'))).toHaveLength(2);
    again();
    await client.close();
  });

  test('twenty sessions are left at once: eight linger', async () => {
    const gateway = createTestGateway();
    const client = clientOf(gateway);
    for (let i = 0; i < 20; i++) await (await client.createSession()).ready();
    await settled();
    expect(gateway.streams).toBe(8);
    await client.close();
    expect(gateway.streams).toBe(0);
  });
});
