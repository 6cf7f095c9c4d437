/** The SDK as developers meet it: signals, files, side questions, refused credentials, ids that are used twice. */
import { expect, onTestFinished, test } from 'vitest';

import { createClient, createCredentials, FaultError, type HoldfastClient } from '../src/index.ts';
import { createTestGateway } from '../src/testing.ts';
import { openStand, until } from './stand.ts';

function inMemory(): { readonly gateway: ReturnType<typeof createTestGateway>; readonly client: HoldfastClient } {
  const gateway = createTestGateway();
  const client = createClient({ baseUrl: 'http://test', transport: gateway.transport });
  onTestFinished(() => client.close());
  return { gateway, client };
}

test('R98: refused credentials end every wait with the fault and its cure, and new ones take the message up again', async () => {
  const stand = await openStand();
  const admin = stand.client();
  const { id } = await admin.createSession();
  const credentials = createCredentials({ token: 'hf_wrong' });
  const client = stand.client({ credentials });
  const refused = { fault: { kind: 'auth-refused', detail: expect.stringContaining('Give a valid one') } };
  await expect(client.createSession()).rejects.toMatchObject(refused);
  const session = client.session(id);
  await expect(session.ready()).rejects.toMatchObject(refused);
  const turn = await session.send('/scene plain tokens=3 rate=0 delay=0');
  expect(await turn.admission).toMatchObject({ kind: 'unconfirmed', ...refused });
  await expect(turn.text()).rejects.toMatchObject(refused);
  expect(await turn.done).toMatchObject({ kind: 'lost', ...refused });
  expect(session.store.getSnapshot().outbox).toMatchObject([{ state: 'unconfirmed', ...refused }]);
  credentials.set((await issue(admin)) ?? '');
  const end = session.store.subscribe(() => {});
  await until(session.store, ({ status }) => status === 'ready');
  expect(await turn.admission).toMatchObject({ kind: 'accepted' });
  expect(await turn.text()).not.toBe('');
  end();
});

async function issue(admin: HoldfastClient): Promise<string | undefined> {
  const issued = await admin.call('POST', '/v1/tokens', { subject: 'admin', scopes: ['admin'] });
  return issued.kind === 'ok' ? (issued.body as { readonly accessToken: string }).accessToken : undefined;
}

test('R97: one client id with other words, or another file, is refused where it is used; with the same it is one message', async () => {
  const { client } = inMemory();
  const session = await client.createSession();
  const [first, again, other, more] = await Promise.all([
    session.send('one', { clientId: 'c_1' }),
    session.send('one', { clientId: 'c_1' }),
    session.send('two', { clientId: 'c_1' }),
    session.send('one', { clientId: 'c_1', parts: [{ type: 'text', text: 'x' }] as never }),
  ]);
  expect(await first.text()).toBe('You said: one');
  expect(await again.text()).toBe('You said: one');
  for (const turn of [other, more])
    expect(await turn.admission).toMatchObject({ kind: 'refused', fault: { kind: 'client-id-reused' } });
});

test('R99: a session that was deleted here or is not there leaves no stream behind, in each sharing mode', async () => {
  for (const streams of ['each', 'one'] as const) {
    const gateway = createTestGateway();
    const client = createClient({ baseUrl: 'http://test', transport: gateway.transport, streams });
    const session = await client.createSession();
    const ends = [session.store.subscribe(() => {}), client.session('s_never').store.subscribe(() => {})];
    await until(session.store, ({ status }) => status === 'ready');
    await until(client.session('s_never').store, ({ status }) => status === 'missing');
    expect(await session.delete()).toEqual({ kind: 'done' });
    await expect.poll(() => gateway.streams).toBe(0);
    expect(client.inspect().streams).toBe(0);
    ends.forEach((end) => end());
    await client.close();
  }
});

test('K6: what is no session id throws where it is given', () => {
  const { client } = inMemory();
  expect(() => client.session(undefined as never)).toThrow("'undefined' is no session id");
  expect(() => client.session('a b')).toThrow("'a b' is no session id");
});

test('A signal gives up every call: what throws throws `cancelled`, what returns a value returns it', async () => {
  const stand = await openStand();
  stand.plan = () => ({ hang: true }) as never;
  const client = stand.client();
  const session = client.session('s_1');
  const signal = AbortSignal.abort();
  const cancelled = { fault: { kind: 'cancelled' } };
  await expect(client.createSession({ signal })).rejects.toMatchObject(cancelled);
  await expect(client.agents({ signal })).rejects.toMatchObject(cancelled);
  await expect(client.upload(new Uint8Array(1), { signal })).rejects.toMatchObject(cancelled);
  await expect(client.download('hash', { signal })).rejects.toMatchObject(cancelled);
  await expect(session.ready({ signal })).rejects.toMatchObject(cancelled);
  const results = await Promise.all([
    client.call('GET', '/v1/me', undefined, { signal }),
    session.stop({ turnId: 't_1' as never, signal }),
    session.steer('x', { turnId: 't_1' as never, signal }),
    session.answer('p_1' as never, 'yes', { signal }),
    session.toolResult('x_1' as never, { ok: true, output: '' }, { signal }),
    session.edit('m_1' as never, 'x', { signal }),
    session.withdraw('m_1' as never, { signal }),
    session.reorder([], { signal }),
    session.regenerate('m_1' as never, { signal }),
    session.switchBranch('t_1' as never, { signal }),
    session.rename('x', { signal }),
    session.set({ pinned: true }, { signal }),
    session.delete({ signal }),
    session.around('m_1' as never, { signal }),
  ]);
  for (const result of results) expect(result).toMatchObject({ kind: 'fault', ...cancelled });
});

test('A signal that comes while a call is under way ends its request', async () => {
  const gateway = createTestGateway();
  gateway.offline = true;
  const client = createClient({ baseUrl: 'http://test', transport: gateway.transport });
  const abort = new AbortController();
  const asked = client.agents({ signal: abort.signal });
  abort.abort();
  await expect(asked).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
  expect(client.inspect().requests).toBe(0);
  await client[Symbol.asyncDispose]();
  await expect(client.agents()).rejects.toBeInstanceOf(FaultError);
});

test('A file goes up as it is and comes down again: name, type and progress of a Blob, a File and plain bytes', async () => {
  const stand = await openStand();
  const client = stand.client();
  const told: number[][] = [];
  const file = new File(['hello'], 'a.txt', { type: 'text/plain' });
  const part = await client.upload(file, { onProgress: (...bytes) => told.push(bytes) });
  expect(part).toMatchObject({ type: 'file', name: 'a.txt', mediaType: 'text/plain', bytes: 5 });
  expect(told).toEqual([
    [0, 5],
    [5, 5],
  ]);
  const back = await client.download(part.hash);
  expect([await back.text(), back.type]).toEqual(['hello', 'text/plain']);
  // A browser says nothing of a type that it does not know.
  expect(await client.upload(new File(['x'], 'a.xyz'))).toMatchObject({ mediaType: 'application/octet-stream' });
  expect(await client.upload(new Uint8Array(2), { name: 'b', mediaType: '' })).toMatchObject({
    name: 'b',
    mediaType: 'application/octet-stream',
  });
  await expect(client.upload('text' as never)).rejects.toThrow('takes a Uint8Array, a Blob or a File');
  await expect(client.download('f'.repeat(64))).rejects.toMatchObject({ fault: { kind: 'blob-not-found' } });
  // A message may be a file alone.
  const session = await client.createSession();
  const turn = await session.send('', { parts: [part] });
  expect(await turn.admission).toMatchObject({ kind: 'accepted' });
});

test('C1: side questions over the same client; they end with it, and it goes on without them', async () => {
  const { gateway, client } = inMemory();
  const session = await client.createSession();
  await (await session.send('first')).text();
  const btws = await client.btw();
  expect(await btws.ask(session.id, 'Why?').text()).toBe('About that: Why?');
  await btws.close();
  expect(await (await session.send('second')).text()).toBe('You said: second');
  const open = (await client.btw()).ask(session.id, 'And?');
  await client.close();
  expect(open.store.getSnapshot().status).not.toBe('asking');
  expect(gateway.streams).toBe(0);
});
