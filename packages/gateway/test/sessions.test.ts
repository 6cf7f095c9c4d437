/**
 * The whole of a conversation over HTTP: every command, its receipt, and what it says when it came too late.
 */
import { rehearse } from '@holdfast/agents';
import { describe, expect, test, vi } from 'vitest';
import { configOf } from '../src/index.ts';
import { openApi, textOf, type Json } from './harness.ts';

describe('sessions', () => {
  test('a session is created once, whatever is retried', async () => {
    const api = await openApi();
    const first = await api.call('POST', '/v1/sessions', { sessionId: 's_1', clientId: 'c1', title: 'One' });
    const again = await api.call('POST', '/v1/sessions', { sessionId: 's_1', clientId: 'c1', title: 'One' });
    const other = await api.call('POST', '/v1/sessions', { sessionId: 's_1', clientId: 'c2', title: 'Two' });
    expect([first.status, again.status, other.status]).toEqual([201, 200, 409]);
    expect(again.body.session).toMatchObject({ sessionId: 's_1', title: 'One', seq: 1 });
    expect(first.body.session).toMatchObject({ sessionId: 's_1', title: 'One', seq: 1 });
    expect(other.body).toMatchObject({ fault: 'session-exists', status: 409 });
  });

  test('R82: a read mark beyond the head is refused; a late, smaller one changes nothing; unread is a command', async () => {
    const api = await openApi();
    const id = await api.session();
    const { body: receipt } = await api.send(id, 'hi');
    const turn = await api.stream(`/v1/sessions/${id}/turns/${receipt.turnId}/stream`);
    await turn.until((event) => event.event === 'stream-end');
    const path = `/v1/sessions/${id}`;
    const { seq } = (await api.call('GET', path)).body;
    const beyond = await api.call('PATCH', path, { readSeq: seq + 1 });
    expect(beyond.body).toMatchObject({
      status: 400,
      detail: expect.stringContaining(`beyond the last entry, ${seq}`),
    });
    const read = await api.call('PATCH', path, { readSeq: seq });
    expect(read.body.session).toMatchObject({ readSeq: seq, unread: false });
    const late = await api.call('PATCH', path, { readSeq: 1 });
    expect(late.body.session).toMatchObject({ readSeq: seq, unread: false });
    const unread = await api.call('POST', `${path}/unread`, {});
    expect(unread.body.session).toMatchObject({ unread: true });
    expect((await api.call('POST', `${path}/unread`, { readSeq: seq + 100 })).status).toBe(400);
    expect((await api.call('POST', `${path}/unread`, { readSeq: 1 })).body.session.readSeq).toBe(1);
    expect((await api.call('PATCH', path, { readSeq: seq })).body.session.unread).toBe(false);
  });

  test('a session is renamed, pinned, found by its title, listed and deleted', async () => {
    const api = await openApi();
    const id = await api.session();
    await api.session();
    const set = await api.call('PATCH', `/v1/sessions/${id}`, { title: 'Quarterly lighthouse', pinned: true });
    expect(set.body.session).toMatchObject({ title: 'Quarterly lighthouse', pinned: true });
    // It was changed, nothing was said in it: the list keeps its order.
    expect(set.body.session.updatedAt).toBe(set.body.session.createdAt);
    await expect.poll(async () => (await api.call('GET', '/v1/sessions?q=lighthouse')).body.sessions.length).toBe(1);
    const page = await api.call('GET', '/v1/sessions?limit=1');
    expect(page.body.sessions).toHaveLength(1);
    const rest = await api.call('GET', `/v1/sessions?limit=1&cursor=${page.body.next}`);
    expect(rest.body.sessions).toHaveLength(1);
    expect(rest.body.sessions[0].sessionId).not.toBe(page.body.sessions[0].sessionId);
    expect((await api.call('DELETE', `/v1/sessions/${id}`)).status).toBe(204);
    const gone = await api.call('GET', `/v1/sessions/${id}`);
    expect(gone.body).toMatchObject({ fault: 'session-deleted', status: 410 });
  });

  test('a file that was erased with its session can be attached again, however often', async () => {
    const api = await openApi();
    for (let n = 0; n < 6; n += 1) {
      const stored = await api.call('POST', '/v1/blobs', 'the same bytes', {
        headers: { 'content-type': 'text/plain' },
      });
      expect(stored.status).toBe(201);
      const { hash, bytes } = stored.body;
      expect((await api.call('GET', `/v1/blobs/${hash}`)).text).toBe('the same bytes');
      const id = await api.session();
      const parts = [{ type: 'file', hash, name: 'a.txt', mediaType: 'text/plain', bytes }];
      const { turnId } = (await api.send(id, '/scene plain tokens=3 rate=5000', { parts })).body;
      const stream = await api.stream(`/v1/sessions/${id}/turns/${turnId}/stream`);
      await stream.untilType('stream-end');
      await api.call('DELETE', `/v1/sessions/${id}`);
      expect((await api.call('GET', `/v1/blobs/${hash}`)).body).toMatchObject({ fault: 'blob-not-found' });
    }
  });

  test('a file is kept for as long as any session has it, be its turn ended, running or queued', async () => {
    const api = await openApi();
    const stored = await api.call('POST', '/v1/blobs', 'shared bytes', { headers: { 'content-type': 'text/plain' } });
    const { hash, bytes } = stored.body;
    const parts = [{ type: 'file', hash, name: 'a.txt', mediaType: 'text/plain', bytes }];
    const [ended, running, queued] = [await api.session(), await api.session(), await api.session()];
    const { turnId } = (await api.send(ended, '/scene plain tokens=3 rate=5000', { parts })).body;
    await (await api.stream(`/v1/sessions/${ended}/turns/${turnId}/stream`)).untilType('stream-end');
    await api.send(running, '/scene slow-start delay=60000', { parts });
    await api.send(queued, '/scene slow-start delay=60000');
    await api.send(queued, 'later', { parts });
    const left: number[] = [];
    for (const id of [ended, running, queued]) {
      left.push((await api.call('GET', `/v1/blobs/${hash}`)).status);
      await api.call('DELETE', `/v1/sessions/${id}`);
    }
    expect(left).toEqual([200, 200, 200]);
    expect((await api.call('GET', `/v1/blobs/${hash}`)).status).toBe(404);
  });

  test('an unknown agent is refused with the names of those that are there', async () => {
    const api = await openApi();
    const refused = await api.call('POST', '/v1/sessions', { agent: 'oracle' });
    expect(refused.body).toMatchObject({ fault: 'agent-not-found' });
    expect(refused.body.detail).toContain('rehearsal');
  });
});

describe('messages', () => {
  test('E8: a turn streams content, turn-end, usage, title-status, stream-end, and its text is the rehearsed one', async () => {
    const api = await openApi();
    const id = await api.session();
    const scene = '/scene plain tokens=30 seed=7 rate=2000';
    const sent = await api.send(id, scene, { clientId: 'c1' });
    expect(sent).toMatchObject({ status: 202, body: { seq: 2, position: 0, applied: 'start', duplicate: false } });
    const stream = await api.stream(`/v1/sessions/${id}/turns/${sent.body.turnId}/stream`);
    const events = await stream.untilType('stream-end');
    expect(await stream.ended()).toBe('clean');
    const types = events.map(({ event }) => event).filter((event) => event !== 'text-delta');
    expect(types.slice(0, 5)).toEqual(['hello', 'turn-start', 'turn-end', 'usage', 'title-status']);
    expect(types.slice(4, -1).every((type) => type.startsWith('title'))).toBe(true);
    expect(textOf(events)).toBe(rehearse(scene));

    const status = await api.call('GET', `/v1/sessions/${id}/turns/${sent.body.turnId}`);
    expect(status.body).toMatchObject({ active: false, terminal: true, outcome: 'completed', lastEvent: 'stream-end' });
    const last = events.at(-1)!;
    const resumed = await api.call('GET', `/v1/sessions/${id}/turns/${sent.body.turnId}/stream`, undefined, {
      headers: { 'last-event-id': last.id! },
    });
    expect(resumed.status).toBe(204);
    const half = events[Math.floor(events.length / 2)]!;
    const tail = await api.stream(`/v1/sessions/${id}/turns/${sent.body.turnId}/stream?after=${half.id}`);
    const rest = await tail.untilType('stream-end');
    expect(rest.slice(1).map((event) => event.id)).toEqual(
      events.slice(events.indexOf(half) + 1).map((event) => event.id),
    );
  });

  test('R23: a retry gets the first receipt, and other content under its client id is refused', async () => {
    const api = await openApi();
    const id = await api.session();
    const first = await api.send(id, 'hello', { clientId: 'c1' });
    const again = await api.send(id, 'hello', { clientId: 'c1' });
    expect(again.body).toEqual({ ...first.body, duplicate: true });
    const other = await api.send(id, 'something else', { clientId: 'c1' });
    expect(other.body).toMatchObject({ status: 409, fault: 'client-id-reused' });
  });

  test('Idempotency-Key names a command as the client id does', async () => {
    const api = await openApi();
    const id = await api.session();
    const send = (key: string) =>
      api.call('POST', `/v1/sessions/${id}/messages`, { text: 'hi' }, { headers: { 'idempotency-key': key } });
    const first = await send('8e03978e-40d5');
    expect((await send('"8e03978e-40d5"')).body).toEqual({ ...first.body, duplicate: true });
    expect((await send('not an id')).body).toMatchObject({ fault: 'invalid-request' });
  });

  test('R25: what waits is edited, reordered and withdrawn, and a retry of each says the same', async () => {
    const api = await openApi();
    const id = await api.session();
    await api.send(id, '/scene long rate=5');
    const [second, third] = [await api.send(id, 'second'), await api.send(id, 'third')];
    expect([second.body.position, third.body.position]).toEqual([1, 2]);
    const [a, b] = [second.body.messageId, third.body.messageId];
    const edited = await api.call('PATCH', `/v1/sessions/${id}/messages/${a}`, {
      text: 'second, better',
      clientId: 'e1',
    });
    expect(edited.body).toMatchObject({ result: 'edited', duplicate: false });
    const order = await api.call('PATCH', `/v1/sessions/${id}/queue`, { messageIds: [b, a] });
    expect(order.body.messageIds).toEqual([b, a]);
    const queue = async () =>
      (await api.call('GET', `/v1/sessions/${id}`)).body.view.queue.map((item: { text: string }) => item.text);
    expect(await queue()).toEqual(['third', 'second, better']);
    const withdraw = () => api.call('DELETE', `/v1/sessions/${id}/messages/${a}`, { clientId: 'w1' });
    expect((await withdraw()).body).toMatchObject({ result: 'withdrawn', duplicate: false });
    expect((await withdraw()).body).toMatchObject({ result: 'withdrawn', duplicate: true });
    expect(await queue()).toEqual(['third']);
  });

  test('an edit that came too late gets 409 with the real state; of an unknown message 404', async () => {
    const api = await openApi();
    const id = await api.session();
    const sent = await api.send(id, '/scene long rate=5');
    const { messageId, turnId } = sent.body;
    await expect
      .poll(async () => (await api.call('GET', `/v1/sessions/${id}/turns/${turnId}`)).body.state)
      .toBe('running');
    const late = await api.call('PATCH', `/v1/sessions/${id}/messages/${messageId}`, { text: 'other' });
    expect(late.body).toMatchObject({
      status: 409,
      fault: 'message-started',
      facts: { turnId, state: 'running', outcome: null },
    });
    const unknown = await api.call('DELETE', `/v1/sessions/${id}/messages/m_nope`);
    expect(unknown.body).toMatchObject({ status: 404, fault: 'message-not-found' });
  });

  test('a full queue says 429 with advice, and a retry of what was accepted still gets its receipt', async () => {
    const api = await openApi({ limits: { ...(await limits()), queueMax: 2 } });
    const id = await api.session();
    await api.send(id, '/scene long rate=5');
    const waiting = [await api.send(id, 'a', { clientId: 'a' }), await api.send(id, 'b', { clientId: 'b' })];
    const full = await api.send(id, 'c', { clientId: 'c' });
    expect(waiting.map(({ status }) => status)).toEqual([202, 202]);
    expect(full.body).toMatchObject({ status: 429, fault: 'queue-full', facts: { queueMax: 2 } });
    expect(full.body.retryAfterMs).toBeGreaterThan(0);
    expect(Number(full.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await api.send(id, 'b', { clientId: 'b' })).body).toMatchObject({ duplicate: true });
  });
});

describe('turns', () => {
  test('a place that becomes free in a full queue is taken once, however many look at one time', async () => {
    const api = await openApi({ limits: { ...configOf({}).limits, queueMax: 1 } });
    const id = await api.session();
    const stream = await api.stream(`/v1/sessions/${id}/events?after=0`);
    await api.send(id, '/scene slow-start delay=60000');
    await stream.untilType('turn-start');
    const waiting = (await api.send(id, 'waits')).body;
    const { findKey } = api.log;
    const gate = Promise.withResolvers<void>();
    let looking = 0;
    api.log.findKey = async (...args) => {
      looking += 1;
      await gate.promise;
      return findKey.apply(api.log, args);
    };
    const sent = Array.from({ length: 5 }, (_, n) => api.send(id, `late ${n}`));
    await expect.poll(() => looking).toBe(5);
    await api.call('DELETE', `/v1/sessions/${id}/messages/${waiting.messageId}`);
    gate.resolve();
    const answers = await Promise.all(sent);
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([202, 429, 429, 429, 429]);
  });

  test('what is refused and can be no retry is not in the log either', async () => {
    const api = await openApi();
    const id = await api.session();
    const path = `/v1/sessions/${id}`;
    for (const [method, where, body, fault] of [
      ['POST', '/messages', { text: 'a', after: 't_nope' }, 'turn-not-found'],
      ['PATCH', '/branch', { turnId: 't_nope' }, 'turn-not-found'],
      ['POST', '/tools/x_nope', { ok: true, output: 'a' }, 'turn-ended'],
      ['POST', '/prompts/p_nope', { answer: 'a' }, 'prompt-not-found'],
      ['POST', '/turns/t_nope/stop', {}, 'turn-not-found'],
      ['POST', '/turns/t_nope/steer', { text: 'a' }, 'turn-not-found'],
      ['PATCH', '/messages/m_nope', { text: 'a' }, 'message-not-found'],
      ['DELETE', '/messages/m_nope', {}, 'message-not-found'],
      ['POST', '/messages/m_nope/regenerate', {}, 'message-not-found'],
    ] as const)
      expect((await api.call(method, path + where, body)).body, where).toMatchObject({ fault });
    expect((await api.call('GET', path)).body.seq).toBe(1);
  });

  test('stop answers stopping, already-ended with the outcome, and 404 for what never was', async () => {
    const api = await openApi();
    const id = await api.session();
    const { turnId } = (await api.send(id, '/scene long rate=5')).body;
    await expect
      .poll(async () => (await api.call('GET', `/v1/sessions/${id}/turns/${turnId}`)).body.state)
      .toBe('running');
    const stop = () => api.call('POST', `/v1/sessions/${id}/turns/${turnId}/stop`, {});
    expect((await stop()).body).toMatchObject({ result: 'stopping' });
    await expect
      .poll(async () => (await api.call('GET', `/v1/sessions/${id}/turns/${turnId}`)).body.terminal)
      .toBe(true);
    expect((await stop()).body).toEqual({ turnId, result: 'already-ended', outcome: 'cancelled' });
    expect((await api.call('POST', `/v1/sessions/${id}/turns/t_nope/stop`, {})).body).toMatchObject({
      status: 404,
      fault: 'turn-not-found',
    });
  });

  test('R77: a turn is stopped by the id in its receipt while its message waits in the queue', async () => {
    const api = await openApi();
    const id = await api.session();
    const first = (await api.send(id, '/scene long rate=5')).body;
    const { turnId } = (await api.send(id, 'later')).body;
    const status = async (turn: string) => (await api.call('GET', `/v1/sessions/${id}/turns/${turn}`)).body;
    expect(await status(turnId)).toMatchObject({ state: 'queued', active: false, terminal: false });
    const stop = (turn: string) => api.call('POST', `/v1/sessions/${id}/turns/${turn}/stop`, {});
    expect((await stop(turnId)).body).toMatchObject({ turnId, result: 'stopping' });
    expect((await stop(turnId)).body).toMatchObject({ turnId, result: 'already-stopping' });
    expect((await stop(first.turnId)).body).toMatchObject({ result: 'stopping' });
    await expect.poll(async () => (await status(turnId)).outcome).toBe('cancelled');
    expect((await stop(turnId)).body).toEqual({ turnId, result: 'already-ended', outcome: 'cancelled' });
  });

  test('R28, R30: an answer names its prompt; a closed one says its outcome, an unknown one is 404', async () => {
    const api = await openApi();
    const id = await api.session();
    await api.send(id, '/scene approval');
    const stream = await api.stream(`/v1/sessions/${id}/events?after=0`);
    const prompt = (await stream.untilType('prompt-open')).at(-1)!.json;
    const answer = (promptId: string, answer: string, more = {}) =>
      api.call('POST', `/v1/sessions/${id}/prompts/${promptId}`, { answer, ...more });
    expect((await answer(prompt.promptId, 'perhaps')).body).toMatchObject({
      fault: 'invalid-request',
      facts: { choices: prompt.choices },
    });
    expect((await answer(prompt.promptId, 'once', { clientId: 'a1' })).body).toMatchObject({
      result: 'answered',
      answer: 'once',
      duplicate: false,
    });
    await stream.untilType('stream-end');
    expect((await answer(prompt.promptId, 'once', { clientId: 'a1' })).body).toMatchObject({
      result: 'answered',
      duplicate: true,
    });
    const late = await answer(prompt.promptId, 'deny');
    expect(late.body).toMatchObject({
      status: 409,
      fault: 'prompt-closed',
      facts: { outcome: 'answered', answer: 'once', by: 'admin' },
    });
    expect((await answer('p_nope_1', 'once')).body).toMatchObject({ status: 404, fault: 'prompt-not-found' });
  });

  test('R20: a steer says as what it was taken', async () => {
    const api = await openApi();
    const id = await api.session();
    const { turnId } = (await api.send(id, '/scene long rate=5')).body;
    await expect
      .poll(async () => (await api.call('GET', `/v1/sessions/${id}/turns/${turnId}`)).body.state)
      .toBe('running');
    const steer = (turn: string) => api.call('POST', `/v1/sessions/${id}/turns/${turn}/steer`, { text: 'shorter' });
    expect(await steer(turnId)).toMatchObject({ status: 202, body: { applied: 'steer' } });
    expect((await steer('t_nope')).body).toMatchObject({ status: 404, fault: 'turn-not-found' });
  });

  test('a turn that is withdrawn before it began ends its stream with a goodbye', async () => {
    const api = await openApi();
    const id = await api.session();
    await api.send(id, '/scene long rate=5');
    const { turnId, messageId } = (await api.send(id, 'later')).body;
    const stream = await api.stream(`/v1/sessions/${id}/turns/${turnId}/stream`);
    await stream.next();
    await api.call('DELETE', `/v1/sessions/${id}/messages/${messageId}`);
    expect((await stream.next()).event).toBe('goodbye');
  });

  test('a turn that is regenerated makes a branch, and the branch can be chosen', async () => {
    const api = await openApi();
    const id = await api.session();
    const sent = (await api.send(id, '/scene plain tokens=5 rate=2000')).body;
    const stream = await api.stream(`/v1/sessions/${id}/events?after=0`);
    await stream.untilType('stream-end');
    const again = await api.call('POST', `/v1/sessions/${id}/messages/${sent.messageId}/regenerate`, {});
    expect(again.status).toBe(202);
    await stream.untilType('stream-end');
    const tree = (await api.call('GET', `/v1/sessions/${id}/branches`)).body;
    expect(tree.turns).toHaveLength(2);
    expect(tree.leaf).toBe(again.body.turnId);
    const back = await api.call('PATCH', `/v1/sessions/${id}/branch`, { turnId: sent.turnId });
    expect(back.body.leaf).toBe(sent.turnId);
    expect((await api.call('PATCH', `/v1/sessions/${id}/branch`, { turnId: 't_nope' })).body).toMatchObject({
      status: 404,
    });
  });

  test('R76: a message from before the window is answered again, branched from and gone back to', async () => {
    const api = await openApi();
    const id = await api.session();
    const stream = await api.stream(`/v1/sessions/${id}/events?after=0`);
    const sent: Json[] = [];
    for (let n = 0; n < 53; n += 1) sent.push((await api.send(id, `/scene plain tokens=1 rate=5000 seed=${n}`)).body);
    for (const { turnId } of sent) expect((await stream.untilType('stream-end')).at(-1)?.json.turnId).toBe(turnId);
    const path = `/v1/sessions/${id}`;
    const again = await api.call('POST', `${path}/messages/${sent[1].messageId}/regenerate`, {});
    const branch = await api.call('POST', `${path}/messages`, { text: '/scene plain tokens=1', after: sent[2].turnId });
    expect([again.status, branch.status]).toEqual([202, 202]);
    await stream.untilType('stream-end');
    await stream.untilType('stream-end');
    const turn = (await api.call('GET', `${path}/turns/${again.body.turnId}`)).body;
    expect(turn).toMatchObject({ outcome: 'completed' });
    expect(await api.call('POST', `${path}/messages`, { text: 'x', after: 't_nope' })).toMatchObject({ status: 404 });
    const back = await api.call('PATCH', `${path}/branch`, { turnId: sent[4].turnId });
    expect(back.body.leaf).toBe(sent[52].turnId);
  });

  test('older turns are read as pages', async () => {
    const api = await openApi();
    const id = await api.session();
    const stream = await api.stream(`/v1/sessions/${id}/events?after=0`);
    const sent = [];
    for (let n = 0; n < 4; n += 1) {
      sent.push((await api.send(id, `/scene plain tokens=3 rate=5000 seed=${n}`)).body);
      await stream.untilType('stream-end');
    }
    const page = await api.call('GET', `/v1/sessions/${id}/messages?before=${sent[3].turnId}&limit=2`);
    expect(page.body.turns.map(({ turn }: { turn: { turnId: string } }) => turn.turnId)).toEqual([
      sent[1].turnId,
      sent[2].turnId,
    ]);
    const before = await api.call('GET', `/v1/sessions/${id}/messages?before=${page.body.before}&limit=2`);
    expect(before.body.turns.map(({ turn }: { turn: { turnId: string } }) => turn.turnId)).toEqual([sent[0].turnId]);
    expect(before.body.before).toBeNull();
  });

  test('a page of large turns ends before its limit, and is gone on from', async () => {
    const api = await openApi();
    const id = await api.session();
    const stream = await api.stream(`/v1/sessions/${id}/events?after=0`);
    const sent: string[] = [];
    for (let n = 0; n < 6; n += 1) {
      sent.push((await api.send(id, `/scene plain tokens=3 rate=5000 seed=${n}${' '.repeat(900_000)}`)).body.turnId);
      await stream.untilType('stream-end');
    }
    const read: string[] = [];
    const sizes: number[] = [];
    for (let before = sent[5]; before !== null;) {
      const { body } = await api.call('GET', `/v1/sessions/${id}/messages?before=${before}&limit=200`);
      read.unshift(...body.turns.map(({ turn }: Json) => turn.turnId));
      sizes.push(JSON.stringify(body).length);
      before = body.before;
    }
    expect(read).toEqual(sent.slice(0, 5));
    expect(sizes.length).toBeGreaterThan(1);
    expect(Math.max(...sizes)).toBeLessThan(8_000_000);
  });

  test('an export is the whole log, with an end', async () => {
    const api = await openApi();
    const id = await api.session();
    const stream = await api.stream(`/v1/sessions/${id}/events?after=0`);
    await api.send(id, '/scene plain tokens=10 rate=5000');
    const live = await stream.untilType('stream-end');
    const lines = (await api.call('GET', `/v1/sessions/${id}/export`)).text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines[0]).toMatchObject({ format: 'holdfast-session', version: 2, sessionId: id });
    expect(lines.at(-1)).toMatchObject({ end: true, cursor: live.at(-1)!.id });
    expect(lines.slice(1, -1)).toEqual(live.slice(1).map(({ json }) => json));
  });

  test('HEAD of an export begins none', async () => {
    const api = await openApi();
    const id = await api.session();
    const attach = vi.spyOn(api.gateway.service, 'attach');
    expect((await api.call('HEAD', `/v1/sessions/${id}/export`)).status).toBe(200);
    expect(attach).not.toHaveBeenCalled();
    await api.call('GET', `/v1/sessions/${id}/export`);
    expect(attach).toHaveBeenCalled();
  });
});

describe('import', () => {
  test('what was exported comes back as a session of the importer, with nothing running and no permission', async () => {
    const api = await openApi();
    const id = await api.session();
    await api.call('PATCH', `/v1/sessions/${id}`, { title: 'Voyage' });
    const stream = await api.stream(`/v1/sessions/${id}/events?after=0`);
    await api.send(id, '/scene plain tokens=10 rate=5000');
    await stream.untilType('stream-end');
    await api.send(id, '/scene approval rate=5000');
    const prompt = (await stream.untilType('prompt-open')).at(-1)!.json;
    await api.call('POST', `/v1/sessions/${id}/prompts/${prompt.promptId}`, { answer: 'session' });
    await stream.untilType('stream-end');
    await api.send(id, '/scene long rate=5');
    await stream.untilType('text-delta');
    await api.send(id, 'waits');
    const file = (await api.call('GET', `/v1/sessions/${id}/export`)).text;

    const alice = await api.issue('alice', 'write');
    const send = (content: string) =>
      api.call('POST', '/v1/import', content, {
        token: alice.token,
        headers: { 'idempotency-key': 'i1', 'content-type': 'application/x-ndjson' },
      });
    const [first, again] = [await send(file), await send(file)];
    expect([first.status, again.status]).toEqual([201, 200]);
    const { sessionId } = first.body.session;
    expect(again.body.session.sessionId).toBe(sessionId);
    const other = await send((await api.call('GET', `/v1/sessions/${await api.session()}/export`)).text);
    expect(other.body).toMatchObject({ status: 409, fault: 'client-id-reused' });
    const [from, to] = [
      (await api.call('GET', `/v1/sessions/${id}`)).body,
      (await api.call('GET', `/v1/sessions/${sessionId}`, undefined, { token: alice.token })).body,
    ];
    expect(to.session).toMatchObject({ owner: 'alice', title: 'Voyage', state: 'idle', queued: 0 });
    const settled = (view: { messages: { text: string; role: string }[] }) =>
      view.messages.slice(0, 4).map(({ text, role }) => [role, text]);
    expect(settled(to.view)).toEqual(settled(from.view));
    expect([from.view.grants.length, to.view.grants]).toEqual([1, []]);
    expect(to.view.messages.at(-1)).toMatchObject({ role: 'assistant', state: 'interrupted' });
    expect(
      (await api.call('GET', `/v1/sessions?q=voyage`, undefined, { token: alice.token })).body.sessions,
    ).toHaveLength(1);
    const next = await api.call(
      'POST',
      `/v1/sessions/${sessionId}/messages`,
      { text: '/scene plain tokens=3 rate=5000' },
      { token: alice.token },
    );
    const after = await api.stream(`/v1/sessions/${sessionId}/turns/${next.body.turnId}/stream`, {
      token: alice.token,
    });
    expect((await after.untilType('turn-end')).at(-1)?.json).toMatchObject({ outcome: 'completed' });
  });

  test('R81: a file that was cut off, changed or made up makes nothing; one of version 1 is taken and marked', async () => {
    const api = await openApi();
    const id = await api.session();
    const file = (await api.call('GET', `/v1/sessions/${id}/export`)).text.trimEnd().split('\n');
    const ended = (seq: number): string => JSON.stringify({ ...JSON.parse(file.at(-1)!), seq, count: seq });
    const old = [file[0]!.replace('"version":2', '"version":1'), ...file.slice(1, -1)];
    for (const content of [
      [...file.slice(0, -1), file[1], ended(2)].join('\n'),
      [file[0]!.replace(id, 's_other'), ...file.slice(1)].join('\n'),
      [file[0], file[1]!.replace('"seq":1', '"seq":-1'), file[2]].join('\n'),
      [...file, file[1]].join('\n'),
      [...old, '{"type":"turn-end","turnId":"t_1","outcome":"completed","seq":2}', '{"end":true,"seq":2}'].join('\n'),
      file.slice(0, -1).join('\n'),
      file.slice(1).join('\n'),
      '{}',
      'x',
      'null',
      [...file.slice(0, -1), 'null'].join('\n'),
      [file[0], '{"type":"launch"}', file.at(-1)].join('\n'),
    ]) {
      const refused = await api.call('POST', '/v1/import', content);
      expect(refused.body).toMatchObject({ status: 400, fault: 'invalid-request' });
      expect(refused.body.detail).toMatch(/^Line \d+ of the file/);
    }
    expect((await api.call('GET', '/v1/sessions')).body.sessions).toHaveLength(1);
    const taken = await api.call('POST', '/v1/import', [...old, '{"end":true,"seq":1}'].join('\n'));
    expect(taken.status).toBe(201);
    const made = (await api.call('GET', `/v1/sessions/${taken.body.session.sessionId}/export`)).text.split('\n');
    expect(JSON.parse(made[1]!)).toMatchObject({ type: 'session-open', imported: { version: 1, entries: 1 } });
  });
});

const limits = async () => (await import('../src/index.ts')).configOf({}).limits;
