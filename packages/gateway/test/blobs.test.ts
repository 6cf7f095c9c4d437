/** R92: a file lives as long as something refers to it, and no reader gets it by its hash alone. */
import { expect, test } from 'vitest';
import { openApi, ROOT, type Api } from './harness.ts';

async function upload(api: Api, text: string, token: string = ROOT): Promise<string> {
  const response = await fetch(`${api.url}/v1/blobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'text/plain' },
    body: text,
  });
  return ((await response.json()) as { readonly hash: string }).hash;
}

const partOf = (hash: string, bytes: number) => ({ type: 'file', hash, name: 'a.txt', mediaType: 'text/plain', bytes });
const read = (api: Api, hash: string, token: string = ROOT) =>
  api.call('GET', `/v1/blobs/${hash}`, undefined, { token }).then(({ status }) => status);

async function sendFile(api: Api, token: string, hash: string): Promise<string> {
  const sessionId = await api.session(token);
  const body = { text: 'see', parts: [partOf(hash, 4)] };
  const sent = await api.call('POST', `/v1/sessions/${sessionId}/messages`, body, { token });
  expect(sent.status).toBe(202);
  const stream = await api.stream(`/v1/sessions/${sessionId}/turns/${sent.body.turnId}/stream`, { token });
  await stream.until(({ event }) => event === 'stream-end');
  return sessionId;
}

test('R92: a message that names a file which is not there is refused, and nothing of it is in the log', async () => {
  const api = await openApi();
  const sessionId = await api.session();
  const body = { text: 'see', parts: [partOf('a'.repeat(64), 4)] };
  const sent = await api.call('POST', `/v1/sessions/${sessionId}/messages`, body);
  expect(sent.body).toMatchObject({ status: 404, fault: 'blob-not-found' });
  expect((await api.call('GET', `/v1/sessions/${sessionId}`)).body.view.messages).toEqual([]);
});

test('R92: deleting a session takes no file that an upload of another subject waits with, or another session has', async () => {
  const api = await openApi();
  const [ann, bob] = [await api.issue('ann', 'write'), await api.issue('bob', 'write')];
  const hash = await upload(api, 'same', ann.token);
  const first = await sendFile(api, ann.token, hash);
  expect(await upload(api, 'same', bob.token)).toBe(hash);
  await api.call('DELETE', `/v1/sessions/${first}`, undefined, { token: ann.token });
  const second = await sendFile(api, bob.token, hash);
  expect(await read(api, hash, bob.token)).toBe(200);
  await api.call('DELETE', `/v1/sessions/${second}`, undefined, { token: bob.token });
  await expect.poll(() => read(api, hash)).toBe(404);
});

test('R92: a hash opens nothing: its uploader and the owner of a session that has it read it, others do not', async () => {
  const api = await openApi();
  const [ann, bob] = [await api.issue('ann', 'write'), await api.issue('bob', 'write')];
  const hash = await upload(api, 'private', ann.token);
  expect([await read(api, hash, ann.token), await read(api, hash, bob.token)]).toEqual([200, 404]);
  await sendFile(api, ann.token, hash);
  await expect.poll(() => read(api, hash, bob.token)).toBe(404);
  expect([await read(api, hash, ann.token), await read(api, hash)]).toEqual([200, 200]);
});

test('R92, P2: naming a file by its hash does not open it, and is answered as if it were not there', async () => {
  const api = await openApi();
  const [ann, bob] = [await api.issue('ann', 'write'), await api.issue('bob', 'write')];
  const hash = await upload(api, 'secret of ann', ann.token);
  const sessionId = await api.session(bob.token);
  const send = (named: string) =>
    api.call(
      'POST',
      `/v1/sessions/${sessionId}/messages`,
      { text: 'see', parts: [partOf(named, 13)] },
      { token: bob.token },
    );
  expect((await send(hash)).body).toMatchObject({ status: 404, fault: 'blob-not-found' });
  expect(await read(api, hash, bob.token)).toBe(404);
  expect((await send('b'.repeat(64))).body).toMatchObject({ status: 404, fault: 'blob-not-found' });
});
