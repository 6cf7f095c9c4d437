/** R95, P2: what a token made ends with it, and no token ends one that may do more. */
import { expect, test } from 'vitest';
import { openApi, type Api } from './harness.ts';

const me = (api: Api, token: string, headers: Record<string, string> = {}) =>
  api.call('GET', '/v1/me', undefined, { token, headers }).then(({ status }) => status);

test('R95: revoking a token ends the tokens and links that were made with it, and theirs, and no others', async () => {
  const api = await openApi();
  const admin = await api.issue('root', 'admin');
  const made = await api.call('POST', '/v1/tokens', { subject: 'ann', scopes: ['admin'] }, { token: admin.token });
  const second = await api.call(
    'POST',
    '/v1/tokens',
    { subject: 'bob', scopes: ['read'] },
    { token: made.body.accessToken },
  );
  const other = await api.issue('carl', 'read');
  const link = await api.call('POST', '/v1/tokens/link', {}, { token: admin.token });
  const unused = String(link.body.url).split('#start=')[1];
  const stream = await api.stream('/v1/feed', { token: second.body.accessToken });
  expect(await me(api, second.body.accessToken)).toBe(200);
  expect((await api.call('DELETE', `/v1/tokens/${admin.tokenId}`)).status).toBe(204);
  for (const token of [admin.token, made.body.accessToken, second.body.accessToken])
    expect(await me(api, token)).toBe(401);
  expect(await me(api, other.token)).toBe(200);
  const redeemed = await api.call('POST', '/v1/start', { code: unused }, { token: null });
  expect(redeemed.status).toBe(401);
  const goodbye = (await stream.until(({ event }) => event === 'goodbye')).at(-1)?.json;
  expect(goodbye).toMatchObject({ reason: 'auth-expired' });
});

test('R95, P2: a token is revoked by itself or by one that has its scopes, not by a lesser one', async () => {
  const api = await openApi();
  const [read, write, tools] = [
    await api.issue('ann', 'read'),
    await api.issue('ann', 'write'),
    await api.issue('ann', 'write', 'tools'),
  ];
  const revoke = (tokenId: string, token: string) =>
    api.call('DELETE', `/v1/tokens/${tokenId}`, undefined, { token }).then(({ status }) => status);
  expect(await revoke(write.tokenId, read.token)).toBe(403);
  expect(await revoke(tools.tokenId, write.token)).toBe(403);
  expect(await revoke(read.tokenId, write.token)).toBe(204);
  expect(await revoke(tools.tokenId, tools.token)).toBe(204);
  expect(await revoke(write.tokenId, write.token)).toBe(204);
});

test('a gateway that other machines reach without TLS says so at its start', async () => {
  const said = (api: Api) => api.logLines.some((line) => line.includes('without TLS'));
  expect(said(await openApi())).toBe(false);
  expect(said(await openApi({ host: '0.0.0.0' }))).toBe(true);
  expect(said(await openApi({ host: '0.0.0.0', publicUrl: new URL('https://agents.test') }))).toBe(false);
});
