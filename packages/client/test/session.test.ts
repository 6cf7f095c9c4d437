import { describe, expect, test } from 'vitest';

import { EventStreamClient, type SessionState, type Turn } from '../src/index.ts';
import { DOWN, openStand, record, until, UP } from './stand.ts';

const idle = ({ view, status }: SessionState): boolean =>
  status === 'ready' && view.turn === null && view.queue.length === 0 && view.closing === null;

/** Where a message is in what is shown; once is right. */
function placesOf({ view, outbox }: SessionState, clientId: string): number {
  const is = (item: { readonly clientId?: string }): boolean => item.clientId === clientId;
  const inView = [...view.messages, ...view.queue, ...(view.turn?.steers ?? [])].filter(is).length;
  return Math.max(inView, outbox.some(is) ? 1 : 0) + (inView > 1 ? 10 : 0);
}

async function textOf(turn: Turn): Promise<string> {
  let text = '';
  for await (const part of turn) if (part.type === 'text') text += part.text;
  return text;
}

describe.each(['each', 'one'] as const)('streams: %s', (streams) => {
  test('a message is sent, and its answer is the same part by part, whole, and in the view', async () => {
    const stand = await openStand();
    const session = await stand.client({ streams }).createSession({ title: 'First' });
    const turn = await session.send('/scene plain tokens=60 rate=0 delay=0 seed=3');
    const admission = await turn.admission;
    expect(admission).toMatchObject({ kind: 'accepted', applied: 'start', position: 0, duplicate: false });
    const text = await textOf(turn);
    expect(text.length).toBeGreaterThan(100);
    expect(await turn.text()).toBe(text);
    const { view, messages } = await until(session.store, idle);
    expect(view.title).toBe('First');
    expect(messages.map(({ role, state }) => `${role} ${state}`)).toEqual(['user sent', 'assistant completed']);
    expect(messages[1]?.text).toBe(text);
    expect(await turn.done).toMatchObject({ kind: 'ended', outcome: 'completed', text });
    expect((await turn.done) as object).toHaveProperty('usage.outputTokens');
  });

  test('E1, E6: the network breaks in mid-answer again and again, a message is sent meanwhile: nothing is lost or doubled', async () => {
    const stand = await openStand();
    const client = stand.client({ streams });
    const session = await client.createSession();
    const seen = record(session.store);
    const first = await session.send('/scene plain tokens=300 rate=400 delay=0 seed=1');
    const reading = textOf(first);
    await until(session.store, ({ view }) => (view.messages[1]?.text.length ?? 0) > 50);
    stand.plan = DOWN;
    stand.proxy.cutAll();
    const second = await session.send('/scene plain tokens=20 rate=0 delay=0 seed=2');
    await until(session.store, ({ connection }) => connection.kind === 'waiting');
    stand.plan = UP;
    await until(session.store, ({ connection }) => connection.kind === 'live');
    stand.proxy.cutAll();
    const [a, b] = await Promise.all([reading, textOf(second)]);
    const state = await until(session.store, idle);
    expect(state.messages.map(({ text }) => text)).toEqual([
      '/scene plain tokens=300 rate=400 delay=0 seed=1',
      a,
      '/scene plain tokens=20 rate=0 delay=0 seed=2',
      b,
    ]);
    // What was seen never shrank, and the message was shown once from the moment it was sent.
    const lengths = seen.states.map(({ view }) => view.messages[1]?.text.length ?? 0);
    expect(lengths).toEqual(lengths.toSorted((x, y) => x - y));
    const sent = seen.states.findIndex((it) => placesOf(it, second.clientId ?? '') > 0);
    expect(new Set(seen.states.slice(sent).map((it) => placesOf(it, second.clientId ?? '')))).toEqual(new Set([1]));
    expect(state.outbox).toEqual([]);
  });

  test('E9: a client that stayed, one that went away and came back, and a second one show the same', async () => {
    const stand = await openStand();
    const staying = stand.client({ streams }).session('s_same');
    await stand.client({ streams }).createSession({ id: 's_same' });
    const other = stand.client({ streams, lingerMs: 0 }).session('s_same');
    const endFirst = other.store.subscribe(() => {});
    const seen = record(staying.store);
    await (await staying.send('/scene thinking tokens=40 rate=0 delay=0')).text();
    endFirst();
    await (await staying.send('/scene tool tokens=40 rate=0 delay=0')).text();
    const a = await until(staying.store, idle);
    const b = await until(other.store, (state) => idle(state) && state.view.seq >= a.view.seq);
    const c = await until(
      stand.client({ streams }).session('s_same').store,
      (state) => idle(state) && state.view.seq >= a.view.seq,
    );
    const { view } = await until(staying.store, (state) => idle(state) && state.view.seq === c.view.seq);
    expect(b.view.messages).toEqual(view.messages);
    expect(c.view).toEqual(view);
    seen.end();
  });

  test('R73: the end of a turn is announced once, through lost connections and snapshots', async () => {
    const stand = await openStand();
    const client = stand.client({ streams });
    const ends: string[] = [];
    client.onTurnEnd(({ turnId, outcome }) => ends.push(`${turnId} ${outcome}`));
    const session = await client.createSession();
    const stop = session.store.subscribe(() => {});
    const turns: Turn[] = [];
    for (const seed of [1, 2, 3]) {
      const turn = await session.send(`/scene plain tokens=150 rate=300 delay=0 seed=${seed}`);
      await until(session.store, ({ view }) => view.turn !== null);
      stand.proxy.cutAll();
      await turn.done;
      turns.push(turn);
    }
    await until(session.store, idle);
    const expected = await Promise.all(
      turns.map(async (turn) => {
        const admission = await turn.admission;
        return `${admission.kind === 'accepted' ? admission.turnId : ''} completed`;
      }),
    );
    expect(ends).toEqual(expected);
    // Another client that comes now is told of nothing that was before.
    const late = stand.client({ streams });
    late.onTurnEnd(({ turnId }) => ends.push(turnId));
    await late.session(session.id).ready();
    expect(ends).toHaveLength(3);
    stop();
  });

  test('a session that is not there is missing, and ready once it is created', async () => {
    const stand = await openStand();
    const client = stand.client({ streams });
    const session = client.session('s_later');
    const seen = record(session.store);
    await until(session.store, ({ status }) => status === 'missing');
    expect((await session.ready()).status).toBe('missing');
    expect(await (await session.send('too early')).admission).toMatchObject({
      kind: 'refused',
      fault: { kind: 'session-not-found' },
    });
    expect(await client.createSession({ id: 's_later' })).toBe(session);
    await until(session.store, ({ status }) => status === 'ready');
    const [item] = session.store.getSnapshot().outbox;
    expect(item?.state).toBe('refused');
    if (item !== undefined) session.retry(item.clientId);
    const state = await until(session.store, (it) => idle(it) && it.messages.length === 2);
    expect(state.outbox).toEqual([]);
    seen.end();
  });

  test('a session that is deleted says so to whoever looks at it, and takes no more', async () => {
    const stand = await openStand();
    const session = await stand.client({ streams }).createSession();
    await (await session.send('/scene plain tokens=3 rate=0 delay=0')).text();
    const elsewhere = stand.client({ streams }).session(session.id);
    const end = elsewhere.store.subscribe(() => {});
    await until(elsewhere.store, ({ status }) => status === 'ready');
    expect(await session.delete()).toEqual({ kind: 'done' });
    expect(session.store.getSnapshot().status).toBe('deleted');
    const state = await until(elsewhere.store, ({ status }) => status === 'deleted');
    expect(state.view.messages).toEqual([]);
    expect(await (await elsewhere.send('anybody?')).done).toMatchObject({
      kind: 'refused',
      fault: { kind: 'session-deleted' },
    });
    end();
  });

  test('the list: created, named, running, ended and deleted sessions, as they come; search', async () => {
    const stand = await openStand();
    const before = stand.client({ streams });
    await before.createSession({ id: 's_old', title: 'Old moorings' });
    const client = stand.client({ streams });
    const rows = (): string[] => client.sessions.getSnapshot().rows.map((row) => row.sessionId);
    const seen = record(client.sessions);
    await until(client.sessions, ({ status, rows: list }) => status === 'ready' && list.length === 1);
    const session = await before.createSession({ id: 's_new' });
    await until(client.sessions, () => rows()[0] === 's_new');
    const turn = await session.send('/scene approval tokens=10 rate=0 delay=0');
    await until(client.sessions, ({ rows: [row] }) => row?.state === 'waiting' && row.prompts === 1);
    await turn.stop();
    await until(client.sessions, ({ rows: [row] }) => row?.state === 'idle' && row.lastOutcome === 'cancelled');
    await before.session('s_old').rename('New moorings');
    // In its place: nothing was said there.
    await until(client.sessions, ({ rows: [, row] }) => row?.title === 'New moorings');
    await client.sessions.search('moorings');
    expect(client.sessions.getSnapshot().search?.rows.map((row) => row.sessionId)).toEqual(['s_old']);
    await session.delete();
    await until(client.sessions, () => !rows().includes('s_new'));
    seen.end();
  });

  test('a search that did not get through is told until the next one, or until nothing is looked for', async () => {
    const stand = await openStand();
    const client = stand.client({ streams });
    await client.createSession({ title: 'Moorings' });
    const fault = (): string | undefined => client.sessions.getSnapshot().fault?.kind;
    for (const next of ['moorings', '']) {
      stand.plan = DOWN;
      stand.proxy.cutAll();
      await client.sessions.search('bell');
      expect(fault()).toBe('disconnected');
      stand.plan = UP;
      await client.sessions.search(next);
      expect(fault()).toBeUndefined();
    }
  });

  test('the list is read as a page, and only what changed since is told: now, and after nobody looked', async () => {
    const stand = await openStand();
    const other = stand.client({ streams });
    for (const id of ['s_1', 's_2', 's_3']) await other.createSession({ id });
    const told: string[] = [];
    const client = stand.client({
      streams,
      openStream: (options) =>
        new EventStreamClient({
          ...options,
          handlers: {
            ...options.handlers,
            feed(data, revision) {
              const item = data as { readonly sessionId?: string; readonly summary?: { readonly sessionId: string } };
              told.push(item.sessionId ?? item.summary?.sessionId ?? '');
              options.handlers.feed?.(data, revision);
            },
          },
        }),
    });
    const rows = (): string[] => client.sessions.getSnapshot().rows.map((row) => row.sessionId);
    const first = record(client.sessions);
    await until(client.sessions, ({ status }) => status === 'ready');
    expect(rows().toSorted()).toEqual(['s_1', 's_2', 's_3']);
    await other.createSession({ id: 's_4' });
    await until(client.sessions, () => rows().includes('s_4'));
    first.end();
    await expect.poll(() => client.inspect().streams).toBe(0);
    await other.session('s_1').delete();
    await other.createSession({ id: 's_5' });
    const again = record(client.sessions);
    await until(client.sessions, () => rows().includes('s_5') && !rows().includes('s_1'));
    expect(new Set(told)).toEqual(new Set(['s_4', 's_1', 's_5']));
    again.end();
  });

  test('closing leaves nothing: no stream, no request, no socket', async () => {
    const stand = await openStand();
    const client = stand.client({ streams });
    const session = await client.createSession();
    const endList = client.sessions.subscribe(() => {});
    const end = session.store.subscribe(() => {});
    const turn = await session.send('/scene plain tokens=500 rate=50 delay=0');
    const text = textOf(turn).catch((error: unknown) => String(error));
    await until(session.store, ({ view }) => view.turn !== null);
    await client.close();
    expect(await text).toContain('cancelled');
    expect(await turn.done).toMatchObject({ kind: 'lost', fault: { kind: 'cancelled' } });
    expect(client.inspect()).toMatchObject({ connection: 'closed', streams: 0, requests: 0 });
    expect(client.inspect().sessions.every(({ followed }) => !followed)).toBe(true);
    await expect.poll(() => stand.proxy.open).toBe(0);
    end();
    endList();
  });
});

describe('commands', () => {
  test('stop: by id, of the running turn, too late, and of nothing', async () => {
    const stand = await openStand();
    const session = await stand.client().createSession();
    expect(await session.stop()).toEqual({ kind: 'not-found' });
    const turn = await session.send('/scene plain tokens=500 rate=50 delay=0');
    await until(session.store, ({ view }) => (view.messages[1]?.text.length ?? 0) > 5);
    expect(await turn.stop()).toMatchObject({ kind: 'stopping' });
    const end = await turn.done;
    expect(end).toMatchObject({ kind: 'ended', outcome: 'cancelled' });
    await expect(turn.text()).rejects.toMatchObject({ fault: { kind: 'cancelled', facts: { outcome: 'cancelled' } } });
    expect(await turn.stop()).toMatchObject({ kind: 'already-ended', outcome: 'cancelled' });
  });

  test('approvals and questions are answered by id; the second answer is told the first (R28, R30)', async () => {
    const stand = await openStand();
    const session = await stand.client().createSession();
    const turn = await session.send('/scene approval tokens=10 rate=0 delay=0');
    const kinds: string[] = [];
    for await (const part of turn) {
      kinds.push(
        part.type === 'tool'
          ? `tool ${part.tool.state}`
          : part.type === 'prompt'
            ? `prompt ${part.prompt.outcome}`
            : part.type,
      );
      if (part.type !== 'prompt' || part.prompt.outcome !== null) continue;
      expect(await session.answer(part.prompt.promptId, 'once')).toEqual({ kind: 'answered' });
      expect(await session.answer(part.prompt.promptId, 'deny')).toMatchObject({
        kind: 'closed',
        outcome: 'answered',
        answer: 'once',
      });
    }
    expect(kinds).toEqual(
      expect.arrayContaining(['start', 'tool requested', 'prompt null', 'prompt answered', 'tool done', 'end']),
    );
    expect(kinds.at(-1)).toBe('end');
    expect(await session.answer('p_none_1' as never, 'once')).toEqual({ kind: 'not-found' });
  });

  test('the queue: edit, reorder, withdraw, and too late for each (R19, R22)', async () => {
    const stand = await openStand();
    const session = await stand.client().createSession();
    const running = await session.send('/scene plain tokens=2000 rate=50 delay=0');
    const [a, b, c] = await Promise.all(
      ['a', 'b', 'c'].map((text) => session.send(`/scene plain tokens=2 rate=0 delay=0 seed=1 ${text}`)),
    );
    const { view } = await until(session.store, (it) => it.view.queue.length === 3 && it.view.turn !== null);
    const [first, second, third] = view.queue.map(({ messageId }) => messageId);
    if (first === undefined || second === undefined || third === undefined) throw new Error('three wait');
    expect(await session.edit(first, '/scene plain tokens=2 rate=0 delay=0 seed=9')).toEqual({ kind: 'edited' });
    expect(await session.reorder([third, second])).toEqual({ kind: 'ordered', messageIds: [third, second] });
    expect(await session.withdraw(second)).toEqual({ kind: 'withdrawn' });
    expect(await b?.done).toEqual({ kind: 'withdrawn' });
    await until(session.store, (it) => it.view.queue.length === 2);
    await running.stop();
    expect(await a?.done).toMatchObject({ kind: 'ended', outcome: 'completed' });
    expect(await c?.done).toMatchObject({ kind: 'ended', outcome: 'completed' });
    expect(await session.withdraw(first)).toMatchObject({ kind: 'started' });
    expect(await session.edit('m_none' as never, 'x')).toEqual({ kind: 'not-found' });
    const { messages } = await until(session.store, idle);
    expect(messages.filter(({ role }) => role === 'user').map(({ id }) => id)).toEqual([
      view.turn?.turnId.replace('t_', 'm_'),
      first,
      third,
    ]);
  });

  test('a steer is taken by the running turn, and the turn that took it is the one that is read', async () => {
    const stand = await openStand();
    const session = await stand.client().createSession();
    const running = await session.send('/scene markdown tokens=400 rate=200 delay=0');
    await until(session.store, ({ view }) => (view.messages[1]?.text.length ?? 0) > 5);
    const steer = await session.send('shorter please', { whenBusy: 'steer' });
    expect(await steer.admission).toMatchObject({ applied: 'steer' });
    const [a, b] = await Promise.all([running.done, steer.done]);
    if (a.kind !== 'ended' || b.kind !== 'ended') throw new Error('both end');
    expect(b.turnId === a.turnId || b.message.role === 'assistant').toBe(true);
    expect(await session.steer('too late')).toEqual({ kind: 'not-found' });
  });

  test('regenerate makes a branch, and one goes back to the other', async () => {
    const stand = await openStand();
    const session = await stand.client().createSession();
    const end = session.store.subscribe(() => {});
    const first = await (await session.send('/scene plain tokens=5 rate=0 delay=0')).done;
    if (first.kind !== 'ended') throw new Error('ended');
    const again = await session.regenerate(first.message.id);
    if (again.kind !== 'accepted') throw new Error(again.kind);
    const second = await again.turn.done;
    if (second.kind !== 'ended') throw new Error('ended');
    const { view } = await until(session.store, idle);
    expect(view.leaf).toBe(second.turnId);
    expect(view.messages.map(({ id }) => id)).not.toContain(first.message.id);
    expect(await session.switchBranch(first.turnId)).toEqual({ kind: 'switched', leaf: first.turnId });
    await until(session.store, (it) => it.view.messages.some(({ id }) => id === first.message.id));
    expect(await session.switchBranch('t_none' as never)).toEqual({ kind: 'not-found' });
    expect(await session.regenerate('a_none' as never)).toEqual({ kind: 'not-found' });
    end();
  });

  test('rename, pin and read marks are values of the view', async () => {
    const stand = await openStand();
    const session = await stand.client().createSession();
    const end = session.store.subscribe(() => {});
    expect(await session.rename('Bollard')).toEqual({ kind: 'done' });
    expect(await session.set({ pinned: true, readSeq: 2 })).toEqual({ kind: 'done' });
    const { view } = await until(session.store, (it) => it.view.pinned);
    expect(view).toMatchObject({ title: 'Bollard', pinned: true, readSeq: 2 });
    expect(await session.set({ agent: 'nobody' })).toMatchObject({ kind: 'fault', fault: { kind: 'agent-not-found' } });
    end();
  });
});
