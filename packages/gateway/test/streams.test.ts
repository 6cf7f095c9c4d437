/**
 * The streams: places, gaps, many on one socket, ends with a reason, slow readers.
 */
import { connect } from 'node:net';
import { HandClock } from '@holdfast/testing/hand-clock';
import { describe, expect, onTestFinished, test } from 'vitest';
import { configOf } from '../src/index.ts';
import { openApi, ROOT, textOf, type Api } from './harness.ts';

const { limits } = configOf({});
const FAST = '/scene plain tokens=20 rate=5000';

async function finishedTurn(api: Api, sessionId: string, scene: string = FAST): Promise<string> {
  const { turnId } = (await api.send(sessionId, scene)).body;
  const stream = await api.stream(`/v1/sessions/${sessionId}/turns/${turnId}/stream`);
  await stream.untilType('stream-end');
  return turnId;
}

describe('a session', () => {
  test('R52: without a cursor comes a snapshot, and the tail begins right after it', async () => {
    const api = await openApi();
    const id = await api.session();
    await api.send(id, '/scene plain tokens=600 rate=200');
    const whole = await api.stream(`/v1/sessions/${id}/events?after=0`);
    await whole.untilType('text-delta');
    const reader = await api.stream(`/v1/sessions/${id}/events`);
    const [hello, snapshot, ...tail] = await reader.untilType('stream-end');
    expect(hello?.json).toMatchObject({ protocol: 1, heartbeatMs: 15_000 });
    expect(snapshot).toMatchObject({ event: 'snapshot', id: undefined, json: { sessionId: id } });
    expect(tail.map(({ json }) => json.seq)).toEqual(tail.map((_, index) => snapshot!.json.view.seq + 1 + index));
    const messages = snapshot!.json.view.messages as { role: string; text: string }[];
    const before = messages.find(({ role }) => role === 'assistant')?.text ?? '';
    expect(before + textOf(tail)).toBe(textOf(await replay(api, id)));
  });

  test('R54: from a cursor comes what follows it, once; Last-Event-ID wins over the query', async () => {
    const api = await openApi();
    const id = await api.session();
    await finishedTurn(api, id);
    const all = await replay(api, id);
    const cut = all[7]!;
    const reader = await api.stream(`/v1/sessions/${id}/events?after=0`, { headers: { 'last-event-id': cut.id! } });
    const rest = await reader.untilType('stream-end');
    expect(rest.slice(1).map((event) => event.id)).toEqual(all.slice(8).map((event) => event.id));
  });

  test('seq and at stand in the data, first, and the stored entry is as it was', async () => {
    const api = await openApi();
    const id = await api.session();
    const text = 'naïve "quotes" \\ 日本 🙂 \u2028 \ud83d';
    await api.send(id, text, { clientId: 'c1' });
    const reader = await api.stream(`/v1/sessions/${id}/events?after=0`);
    const message = (await reader.untilType('message')).at(-1)!;
    expect(message.data.startsWith(`{"seq":2,"at":"`)).toBe(true);
    expect(message.json).toMatchObject({ type: 'message', text, clientId: 'c1', author: 'admin' });
    expect(message.id).toMatch(/^2\.[0-9a-f]{8}$/);
  });

  test.each([
    [
      'R60: a record that is another one',
      (id: string) => id.replace(/\.(.)/, (_, first: string) => `.${first === '0' ? '1' : '0'}`),
      'cursor-unknown',
    ],
    ['R55: a place ahead of the log', () => '99999.00000000', 'cursor-ahead'],
  ])('%s gets a resync with a snapshot, never silence', async (_name, spoil, reason) => {
    const api = await openApi();
    const id = await api.session();
    await finishedTurn(api, id);
    const last = (await replay(api, id)).at(-1)!;
    const reader = await api.stream(`/v1/sessions/${id}/events?after=${spoil(last.id!)}`);
    const [, resync] = await reader.untilType('resync');
    expect(resync?.json).toMatchObject({ reason, sessionId: id, cursor: last.id });
    await api.send(id, FAST);
    expect((await reader.next()).json.seq).toBe(last.json.seq + 1);
  });

  test('a malformed cursor is a fault that asks for a resync', async () => {
    const api = await openApi();
    const id = await api.session();
    const refused = await api.call('GET', `/v1/sessions/${id}/events?after=12`);
    expect(refused.body).toMatchObject({ status: 400, fault: 'invalid-cursor' });
  });

  test('R60: a turn is not told to be read to its end by a cursor whose record is not there', async () => {
    const api = await openApi();
    const id = await api.session();
    const turnId = await finishedTurn(api, id);
    const last = (await replay(api, id)).at(-1)!;
    const after = (cursor: string): ReturnType<typeof api.call> =>
      api.call('GET', `/v1/sessions/${id}/turns/${turnId}/stream?after=${cursor}`);
    expect((await after(last.id!)).status).toBe(204);
    for (const cursor of [`${last.json.seq}.00000000`, `${last.json.seq + 1}.00000000`])
      expect((await after(cursor)).body).toMatchObject({ status: 400, fault: 'invalid-cursor' });
  });

  test('R53: two readers of one session see the same', async () => {
    const api = await openApi();
    const id = await api.session();
    const readers = await Promise.all(Array.from({ length: 5 }, () => api.stream(`/v1/sessions/${id}/events?after=0`)));
    await api.send(id, FAST);
    const seen = await Promise.all(
      readers.map(async (reader) =>
        (await reader.untilType('stream-end')).slice(1).map((event) => [event.id, event.data]),
      ),
    );
    for (const other of seen) expect(other).toEqual(seen[0]);
  });

  test('a client of HTTP/1.0 gets the same, without chunks', async () => {
    const api = await openApi();
    const id = await api.session();
    const turnId = await finishedTurn(api, id);
    const text = await new Promise<string>((resolve) => {
      const socket = connect(api.gateway.port, '127.0.0.1');
      let got = '';
      socket.on('data', (chunk) => (got += chunk.toString()));
      socket.on('close', () => resolve(got));
      socket.write(
        `GET /v1/sessions/${id}/turns/${turnId}/stream HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${ROOT}\r\n\r\n`,
      );
    });
    const [head = '', body = ''] = text.split(/\r\n\r\n(.*)/s);
    expect(head.toLowerCase()).not.toContain('transfer-encoding');
    const frames = body.trim().split('\n\n');
    expect(frames[0]).toMatch(/^event: hello\ndata: /);
    expect(frames.at(-1)).toContain('event: stream-end');
    expect(body).not.toContain('\r');
  });

  test('R16: a reader that leaves harms nobody', async () => {
    const api = await openApi();
    const id = await api.session();
    const [leaver, stayer] = [
      await api.stream(`/v1/sessions/${id}/events?after=0`),
      await api.stream(`/v1/sessions/${id}/events?after=0`),
    ];
    await api.send(id, '/scene plain tokens=60 rate=300');
    await leaver.untilType('text-delta');
    leaver.close();
    const events = await stayer.untilType('stream-end');
    expect(events.find(({ event }) => event === 'turn-end')?.json).toMatchObject({ outcome: 'completed' });
    await expect.poll(async () => (await api.call('GET', '/metrics')).text).toMatch(/^holdfast_readers 1$/m);
  });
});

describe('many sessions on one socket', () => {
  test('R50: entries carry their session, the feed its revision; sessions come and go', async () => {
    const api = await openApi();
    const [a, b] = [await api.session(), await api.session()];
    await finishedTurn(api, a);
    const last = (await replay(api, a)).at(-1)!;
    const reader = await api.stream('/v1/events', { body: { cursors: { [a]: last.id }, feed: null } });
    const { streamId } = (await reader.next()).json;
    await reader.until(({ event, json }) => event === 'feed' && json.summary.sessionId === a);

    const added = await api.call('POST', `/v1/events/${streamId}`, { add: { [b]: null }, remove: [] });
    expect(added).toMatchObject({ status: 200, body: { lanes: 3 } });
    const snapshot = (await reader.untilType('snapshot')).at(-1)!;
    expect(snapshot.json.sessionId).toBe(b);
    await api.send(b, FAST);
    const events = (await reader.untilType('stream-end')).filter(({ event }) => event !== 'feed');
    expect(events.every((event) => event.id!.startsWith(`${b}/`))).toBe(true);
    expect(events.map(({ json }) => json.seq)).toEqual(events.map((_, index) => snapshot.json.view.seq + 1 + index));

    await api.call('POST', `/v1/events/${streamId}`, { add: {}, remove: [b] });
    await api.send(b, 'unseen');
    await api.send(a, FAST);
    const rest = (await reader.untilType('stream-end')).filter(({ event }) => event !== 'feed');
    expect(rest.every((event) => event.id!.startsWith(`${a}/`))).toBe(true);
    expect(rest[0]?.json.seq).toBe(last.json.seq + 1);
  });

  test('a session may be called feed: it and the list come beside each other', async () => {
    const api = await openApi();
    const reader = await api.stream('/v1/events', { body: { cursors: { feed: null }, feed: null } });
    const { streamId } = (await reader.next()).json;
    expect((await reader.untilType('goodbye')).at(-1)!.json).toMatchObject({ sessionId: 'feed' });
    await api.call('POST', '/v1/sessions', { id: 'feed' });
    await reader.until(({ event, json }) => event === 'feed' && json.summary.sessionId === 'feed');
    await api.call('POST', `/v1/events/${streamId}`, { add: { feed: null } });
    await reader.untilType('snapshot');
    await api.session();
    await reader.until(({ event, json }) => event === 'feed' && json.summary.sessionId !== 'feed');
  });

  test("a refused or deleted session ends its own part alone, and another's stream cannot be changed", async () => {
    const api = await openApi();
    const [alice, bob] = [await api.issue('alice', 'write'), await api.issue('bob', 'write')];
    const [mine, theirs] = [await api.session(alice.token), await api.session(bob.token)];
    const reader = await api.stream('/v1/events', {
      token: alice.token,
      body: { cursors: { [mine]: null, [theirs]: null } },
    });
    const { streamId } = (await reader.next()).json;
    const two = [await reader.next(), await reader.next()];
    expect(two.find(({ event }) => event === 'goodbye')?.json).toEqual({
      reason: 'session-refused',
      fault: 'session-not-found',
      sessionId: theirs,
    });
    expect(two.find(({ event }) => event === 'snapshot')?.json.sessionId).toBe(mine);
    const foreign = await api.call('POST', `/v1/events/${streamId}`, { remove: [mine] }, { token: bob.token });
    expect(foreign.body).toMatchObject({ status: 404, fault: 'stream-not-found' });
    await api.call('DELETE', `/v1/sessions/${mine}`, undefined, { token: alice.token });
    expect((await reader.next()).json).toEqual({
      reason: 'session-deleted',
      fault: 'session-deleted',
      sessionId: mine,
    });
  });

  test('catching up with one long session does not starve another', async () => {
    const api = await openApi();
    const [long, short] = [await api.session(), await api.session()];
    for (let n = 0; n < 30; n += 1) await api.send(long, 'x'.repeat(40_000));
    await api.send(short, 'y');
    const reader = await api.stream('/v1/events', { body: { cursors: { [long]: '0', [short]: '0' } } });
    const events = await reader.until((event) => event.id?.startsWith(`${short}/2.`) === true);
    const longBytes = events
      .filter((event) => event.id?.startsWith(`${long}/`))
      .reduce((sum, { data }) => sum + data.length, 0);
    expect(longBytes).toBeLessThan(3 * 64 * 1024);
  });
});

describe('the feed', () => {
  test('a subject sees its own sessions alone, created, renamed and deleted, and goes on from a revision', async () => {
    const api = await openApi();
    const [alice, bob] = [await api.issue('alice', 'write'), await api.issue('bob', 'write')];
    const mine = await api.session(alice.token);
    await api.session(bob.token);
    const feed = await api.stream('/v1/feed', { token: alice.token });
    expect((await feed.untilType('feed')).at(-1)?.json).toMatchObject({
      type: 'session',
      summary: { sessionId: mine },
    });
    await api.call('PATCH', `/v1/sessions/${mine}`, { title: 'Renamed' }, { token: alice.token });
    const renamed = (await feed.until(({ json }) => json.summary?.title === 'Renamed')).at(-1)!;
    const theirs = await api.session(bob.token);
    await api.call('DELETE', `/v1/sessions/${theirs}`, undefined, { token: bob.token });
    await api.call('DELETE', `/v1/sessions/${mine}`, undefined, { token: alice.token });
    const rest = await feed.until(({ json }) => json.type === 'deleted');
    expect(rest.map(({ json }) => json.sessionId ?? json.summary.sessionId)).toEqual(rest.map(() => mine));
    const resumed = await api.stream('/v1/feed', { token: alice.token, headers: { 'last-event-id': renamed.id! } });
    expect((await resumed.untilType('feed')).at(-1)?.json).toMatchObject({ type: 'deleted', sessionId: mine });
    const anew = await api.stream('/v1/feed', { token: alice.token });
    const other = await api.session(alice.token);
    expect((await anew.untilType('feed')).at(-1)?.json).toMatchObject({
      type: 'session',
      summary: { sessionId: other },
    });
  });

  test('R59: a page of the list tells the revision that the feed goes on from: nothing is told twice or left out', async () => {
    const api = await openApi();
    const [alice, bob] = [await api.issue('alice', 'write'), await api.issue('bob', 'write')];
    const mine = [await api.session(alice.token), await api.session(alice.token)];
    await api.session(bob.token);
    const page = (await api.call('GET', '/v1/sessions', undefined, { token: alice.token })).body;
    expect(page.sessions).toHaveLength(2);
    const later = await api.session(alice.token);
    await api.call('DELETE', `/v1/sessions/${mine[0]}`, undefined, { token: alice.token });
    const feed = await api.stream(`/v1/feed?after=${page.revision}`, { token: alice.token });
    const told = (await feed.until(({ json }) => json.type === 'deleted')).filter(({ event }) => event === 'feed');
    const ids = told.map(({ json }) => json.sessionId ?? json.summary.sessionId);
    expect(new Set(ids)).toEqual(new Set([later, mine[0]]));
    // Read while the feed is followed, too.
    const now = (await api.call('GET', '/v1/sessions', undefined, { token: alice.token })).body;
    expect(`feed/${now.revision}`).toBe(told.at(-1)?.id);
  });

  test('R59: a stream that is open takes the list up, from a revision, and anew from another', async () => {
    const api = await openApi();
    const known = await api.session();
    const stream = await api.stream('/v1/events', { body: { cursors: {} } });
    const { streamId } = (await stream.next()).json;
    const page = (await api.call('GET', '/v1/sessions')).body;
    expect((await api.call('POST', `/v1/events/${streamId}`, { feed: page.revision })).status).toBe(200);
    const later = await api.session();
    const [first] = (await stream.until(({ event }) => event === 'feed')).filter(({ event }) => event === 'feed');
    expect(first?.json.summary.sessionId).toBe(later);
    await api.call('POST', `/v1/events/${streamId}`, { feed: null });
    await stream.until(({ json }) => json.summary?.sessionId === known);
  });

  test('R55: a revision that the store has not reached begins anew', async () => {
    const api = await openApi();
    const id = await api.session();
    const feed = await api.stream('/v1/feed?after=999999');
    expect((await feed.untilType('feed')).at(-1)).toMatchObject({ id: 'feed/0', json: { type: 'resync' } });
    expect((await feed.untilType('feed')).at(-1)?.json).toMatchObject({ type: 'session', summary: { sessionId: id } });
  });
});

describe('ends', () => {
  test('R51: shutdown says goodbye with advice, then ends', async () => {
    const api = await openApi();
    const id = await api.session();
    await api.send(id, '/scene long rate=20');
    const [session, mux, feed] = [
      await api.stream(`/v1/sessions/${id}/events`),
      await api.stream('/v1/events', { body: { cursors: { [id]: null } } }),
      await api.stream('/v1/feed'),
    ];
    const ready = await api.call('GET', '/readyz', undefined, { token: null });
    expect(ready).toMatchObject({ status: 200, body: { ready: true } });
    const drained = api.gateway.drain();
    for (const reader of [session, mux, feed]) {
      expect((await reader.untilType('goodbye')).at(-1)?.json).toEqual({ reason: 'shutdown', retryAfterMs: 1_000 });
      expect(await reader.ended()).toBe('clean');
    }
    expect(await api.call('GET', '/readyz', undefined, { token: null })).toMatchObject({
      status: 503,
      body: { ready: false },
    });
    const late = await api.call('GET', `/v1/sessions/${id}/events`);
    expect(late.body).toMatchObject({ status: 503, fault: 'shutting-down' });
    const refused = await api.send(id, 'R32');
    expect(refused.body).toMatchObject({ status: 503, fault: 'shutting-down' });
    await drained;
  });

  test('a deleted session says so', async () => {
    const api = await openApi();
    const id = await api.session();
    const reader = await api.stream(`/v1/sessions/${id}/events`);
    await reader.untilType('snapshot');
    await api.call('DELETE', `/v1/sessions/${id}`);
    expect((await reader.next()).json).toEqual({ reason: 'session-deleted', fault: 'session-deleted' });
    expect(await reader.ended()).toBe('clean');
  });

  test('a revoked token ends its streams: the sweep is not waited for', async () => {
    const api = await openApi({}, { readers: { sweepMs: 3_600_000 } });
    const alice = await api.issue('alice', 'write');
    const id = await api.session(alice.token);
    const reader = await api.stream(`/v1/sessions/${id}/events`, { token: alice.token });
    const other = await api.stream(`/v1/sessions/${id}/events`);
    await reader.untilType('snapshot');
    expect((await api.call('DELETE', `/v1/tokens/${alice.tokenId}`)).status).toBe(204);
    expect((await reader.next()).json).toEqual({ reason: 'auth-expired' });
    expect((await api.call('GET', '/v1/me', undefined, { token: alice.token })).status).toBe(401);
    expect(other.end).toBeUndefined();
  });

  test('a token that expires ends its streams within a second', async () => {
    const clock = new HandClock();
    const api = await openApi({}, { clock });
    const { body } = await api.call('POST', '/v1/tokens', { subject: 'alice', scopes: ['write'], expiresInS: 61 });
    const reader = await api.stream('/v1/feed', { token: body.accessToken });
    await reader.next();
    clock.pass(60_999);
    expect((await api.call('GET', '/v1/me', undefined, { token: body.accessToken })).status).toBe(200);
    clock.pass(1_000);
    expect((await reader.next()).json).toEqual({ reason: 'auth-expired' });
  });

  test('B6: a quiet stream has a heartbeat', async () => {
    const api = await openApi({}, { readers: { heartbeatMs: 50, sweepMs: 20 } });
    const reader = await api.stream('/v1/feed');
    await reader.comment();
    expect(reader.comments[0]).toBe('heartbeat');
  });

  test('readers beyond the limit are refused, and a place that is left can be taken', async () => {
    const api = await openApi({ limits: { ...limits, readersMax: 3, readersPerSubjectMax: 2 } });
    const alice = await api.issue('alice', 'read');
    const first = await api.stream('/v1/feed', { token: alice.token });
    await api.stream('/v1/feed', { token: alice.token });
    const third = await api.call('GET', '/v1/feed', undefined, { token: alice.token });
    expect(third.body).toMatchObject({ status: 429, fault: 'too-many-readers' });
    expect(third.headers.get('retry-after')).toBe('5');
    await api.stream('/v1/feed');
    expect((await api.call('GET', '/v1/feed')).body).toMatchObject({ status: 429 });
    first.close();
    await expect.poll(async () => (await api.stream('/v1/feed')).response.status).toBe(200);
  });
});

describe('a slow reader', () => {
  test('R57: is bounded, is told too-slow after the stall, and can resume', async () => {
    const api = await openApi(
      { limits: { ...limits, readerStallMs: 400, bodyBytesMax: 2_000_000, queueMax: 1_000 } },
      { readers: { sweepMs: 50, lingerMs: 300 } },
    );
    const id = await api.session();
    await api.send(id, '/scene long rate=1');
    const socket = connect(api.gateway.port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => undefined);
    socket.write(
      `GET /v1/sessions/${id}/events?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${ROOT}\r\n\r\n`,
    );
    await new Promise<void>((resolve) => socket.once('readable', () => resolve()));
    socket.pause();
    const text = 'z'.repeat(900_000);
    const sent: number[] = [];
    for (let n = 0; n < 24; n += 1) sent.push((await api.send(id, text)).status);
    expect(sent.every((status) => status === 202)).toBe(true);
    // 21 MB were written to the session; what the gateway holds for the reader is its batch and the socket's buffer.
    await expect.poll(async () => (await api.call('GET', '/metrics')).text).toMatch(/^holdfast_readers 0$/m);
    const reader = await api.stream(`/v1/sessions/${id}/events?after=0`);
    const events = await reader.until(({ json }) => json.seq === 26);
    const seqs = events.slice(1).map(({ json }) => json.seq);
    expect(seqs).toEqual(seqs.map((_, index) => index + 1));
  });

  test('R58: a replay that is larger than every buffer is not shed for its size, nor for what comes in meanwhile', async () => {
    const api = await openApi(
      { limits: { ...limits, readerStallMs: 400, bodyBytesMax: 2_000_000, queueMax: 1_000 } },
      { readers: { sweepMs: 50, lingerMs: 300 } },
    );
    const id = await api.session();
    await api.send(id, '/scene long rate=1');
    const text = 'z'.repeat(900_000);
    for (let n = 0; n < 16; n += 1) await api.send(id, text);
    const reader = await api.stream(`/v1/sessions/${id}/events?after=0`);
    const all = reader.until(({ json }) => json.clientId === 'last');
    for (let n = 0; n < 8; n += 1) await api.send(id, text);
    await api.send(id, 'the last', { clientId: 'last' });
    const events = await all;
    expect(events.map(({ event }) => event)).not.toContain('goodbye');
    const seqs = events.slice(1).map(({ json }) => json.seq);
    expect(seqs).toEqual(seqs.map((_, index) => index + 1));
  });
});

async function replay(api: Api, sessionId: string) {
  const { body } = await api.call('GET', `/v1/sessions/${sessionId}`);
  const reader = await api.stream(`/v1/sessions/${sessionId}/events?after=0`);
  const events = await reader.until(({ json }) => json.seq === body.seq);
  reader.close();
  return events.slice(1);
}
