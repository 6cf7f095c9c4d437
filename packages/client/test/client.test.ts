import { expect, onTestFinished, test } from 'vitest';

import { createClient, createCredentials, FaultError } from '../src/index.ts';
import { nodeTransport } from '../src/node/index.ts';
import { createTestGateway } from '../src/testing.ts';
import { openStand, until } from './stand.ts';

test('the shortest use: a message is sent, its answer is read part by part, and as a whole', async () => {
  const gateway = createTestGateway();
  const client = createClient({ baseUrl: 'http://test', transport: gateway.transport });
  const session = await client.createSession({ title: 'First' });
  const turn = await session.send('hold fast');
  const types: string[] = [];
  let text = '';
  for await (const part of turn) {
    types.push(part.type);
    if (part.type === 'text') text += part.text;
  }
  expect(text).toBe('You said: hold fast');
  expect(types.at(0)).toBe('start');
  expect(types.at(-1)).toBe('end');
  expect(await turn.text()).toBe(text);
  await client.close();
  expect(gateway.streams).toBe(0);
});

test('leaving the loop leaves the turn running; it can be read again, from its start, at any time', async () => {
  const gateway = createTestGateway({
    script: function* () {
      yield* ['one ', 'two ', 'three '];
      yield { type: 'tool', name: 'search', input: { q: 'x' }, output: 'found' };
      yield { type: 'data', name: 'chart', data: [1, 2] };
    },
  });
  const client = createClient({ baseUrl: 'http://test', transport: gateway.transport });
  const session = await client.createSession();
  const turn = await session.send('go');
  for await (const part of turn) if (part.type === 'text') break;
  const end = await turn.done;
  if (end.kind !== 'ended') throw new Error(end.kind);
  const again: unknown[] = [];
  for await (const part of session.turn(end.turnId)) again.push(part.type === 'text' ? part.text : part.type);
  expect(again).toEqual(['start', 'one two three ', 'tool', 'data', 'end']);
  await client.close();
});

test('a turn that has left the window is found all the same; one that never was is lost, not made up', async () => {
  const gateway = createTestGateway();
  const client = createClient({ baseUrl: 'http://test', transport: gateway.transport });
  const session = await client.createSession();
  const first = await (await session.send('the first')).done;
  if (first.kind !== 'ended') throw new Error(first.kind);
  for (let i = 0; i < 55; i++) await (await session.send(`${i}`)).done;
  expect(await session.turn(first.turnId).text()).toBe('You said: the first');
  const lost = session.turn('t_never' as never);
  expect(await lost.done).toMatchObject({ kind: 'lost', fault: { kind: 'turn-not-found' } });
  await expect(lost.text()).rejects.toBeInstanceOf(FaultError);
  expect(await lost.stop()).toEqual({ kind: 'not-found' });
  await client.close();
});

test('a turn that failed throws its fault, with what there is of the text', async () => {
  const stand = await openStand();
  const session = await stand.client().createSession();
  const turn = await session.send('/scene fail tokens=20 rate=0 delay=0');
  await expect(turn.text()).rejects.toMatchObject({ fault: { kind: 'model-error', facts: { outcome: 'failed' } } });
  expect(await turn.done).toMatchObject({ kind: 'ended', outcome: 'failed', fault: { kind: 'model-error' } });
});

test('the stop of a turn that waits withdraws its message; a stop needs no following', async () => {
  const stand = await openStand();
  const session = await stand.client().createSession();
  const running = await session.send('/scene plain tokens=2000 rate=50 delay=0');
  const waiting = await session.send('/scene plain tokens=2 rate=0 delay=0');
  expect(await waiting.stop()).toEqual({ kind: 'withdrawn' });
  expect(await waiting.done).toEqual({ kind: 'withdrawn' });
  // Another client, which has not looked at it yet.
  expect(await stand.client().session(session.id).stop()).toMatchObject({ kind: 'stopping' });
  expect(await running.done).toMatchObject({ outcome: 'cancelled' });
});

test('creating a session is idempotent by its id, and says what is wrong otherwise', async () => {
  const stand = await openStand();
  const client = stand.client();
  const [a, b] = await Promise.all([client.createSession({ id: 's_twice' }), client.createSession({ id: 's_twice' })]);
  expect(a).toBe(b);
  await expect(client.createSession({ agent: 'nobody' })).rejects.toMatchObject({ fault: { kind: 'agent-not-found' } });
  expect(() => client.session('not an id')).toThrow(/is no session id/);
  expect((await client.agents()).map(({ name }) => name)).toContain('rehearsal');
});

test('the gateway in memory: a script that throws is an agent that crashed', async () => {
  const script = (): string => {
    throw new Error('no such answer');
  };
  const client = createClient({ baseUrl: 'http://test', transport: createTestGateway({ script }).transport });
  const session = await client.createSession();
  const end = await (await session.send('hello')).done;
  expect(end).toMatchObject({ outcome: 'failed', reason: 'Error: no such answer', fault: { kind: 'agent-crashed' } });
  await client.close();
});

test('an attachment is stored, sent and shown; any other route can be called', async () => {
  const stand = await openStand();
  const client = stand.client();
  const part = await client.upload(new TextEncoder().encode('bytes'), { name: 'note.txt', mediaType: 'text/plain' });
  expect(part).toMatchObject({ type: 'file', name: 'note.txt', bytes: 5 });
  const session = await client.createSession();
  const end = session.store.subscribe(() => {});
  await (
    await session.send('/scene plain tokens=2 rate=0 delay=0', { parts: [part] })
  ).done;
  const { messages } = await until(session.store, ({ view }) => view.turns.length === 1);
  expect(messages[0]?.parts).toContainEqual(part);
  expect(await client.call('GET', '/v1/me')).toMatchObject({ kind: 'ok', body: { subject: 'admin' } });
  expect(await client.call('GET', '/v1/nothing')).toMatchObject({ kind: 'fault', fault: { kind: 'route-not-found' } });
  end();
});

test('R46: a token that expires in mid-session is renewed in place; one that is refused waits for the person, with the message', async () => {
  const stand = await openStand();
  const admin = stand.client();
  const issue = async (): Promise<{ readonly token: string; readonly tokenId: string }> => {
    const issued = await admin.call('POST', '/v1/tokens', { subject: 'ann', scopes: ['write'] });
    if (issued.kind === 'fault') throw new FaultError(issued.fault);
    const { accessToken, tokenId } = issued.body as { accessToken: string; tokenId: string };
    return { token: accessToken, tokenId };
  };
  let current = await issue();
  let refused = false;
  const credentials = createCredentials({
    token: current.token,
    refresh: async () =>
      refused
        ? { kind: 'refused', fault: { kind: 'auth-refused', detail: 'signed out' } }
        : { kind: 'renewed', token: (current = await issue()).token },
  });
  const client = createClient({
    baseUrl: stand.proxy.origin,
    transport: nodeTransport(),
    credentials,
    ports: { random: () => 0.02 },
  });
  const session = await client.createSession();
  const end = session.store.subscribe(() => {});
  await until(session.store, ({ status }) => status === 'ready');
  await admin.call('DELETE', `/v1/tokens/${current.tokenId}`);
  await until(session.store, ({ connection }) => connection.kind !== 'live');
  await until(session.store, ({ connection }) => connection.kind === 'live');
  expect(await (await session.send('/scene plain tokens=3 rate=0 delay=0')).text()).not.toBe('');

  refused = true;
  await admin.call('DELETE', `/v1/tokens/${current.tokenId}`);
  const { connection } = await until(session.store, (state) => state.connection.kind === 'closed');
  expect(connection).toMatchObject({ kind: 'closed', fault: { kind: 'auth-refused' } });
  const turn = await session.send('/scene plain tokens=4 rate=0 delay=0');
  await until(session.store, ({ outbox }) => outbox[0]?.state === 'unconfirmed');
  // The person signs in again: nothing was lost, nothing has to be reloaded.
  credentials.set((await issue()).token);
  expect(await turn.text()).not.toBe('');
  await until(session.store, (state) => state.connection.kind === 'live');
  end();
  await client.close();
});

test('R46: a session that was not shown to whoever was signed in is there as soon as one is who may see it', async () => {
  const stand = await openStand();
  const admin = stand.client();
  const tokenOf = async (subject: string): Promise<string> => {
    const issued = await admin.call('POST', '/v1/tokens', { subject, scopes: ['write'] });
    if (issued.kind === 'fault') throw new FaultError(issued.fault);
    return (issued.body as { accessToken: string }).accessToken;
  };
  const [ann, bob] = [await tokenOf('ann'), await tokenOf('bob')];
  const { id } = await createClientOf(ann).createSession();
  const credentials = createCredentials({ token: bob });
  const { store } = createClientOf(bob, credentials).session(id);
  const end = store.subscribe(() => {});
  await until(store, ({ status }) => status === 'missing');
  credentials.set(ann);
  await until(store, ({ status }) => status === 'ready');
  end();

  function createClientOf(token: string, its = createCredentials({ token })): ReturnType<typeof createClient> {
    const client = createClient({ baseUrl: stand.proxy.origin, transport: nodeTransport(), credentials: its });
    onTestFinished(() => client.close());
    return client;
  }
});
