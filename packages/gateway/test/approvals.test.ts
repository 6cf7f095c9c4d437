/** R90, P2: what runs on the gateway's machine is allowed only by a subject that has the right; any writer may refuse it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openApi, type Api, type Json } from './harness.ts';

const COMMAND = '/scene tool run="echo ran" rate=5000 tokens=3';

function workspace(): string {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-approvals-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

async function openPrompt(
  api: Api,
  token: string,
  text = COMMAND,
): Promise<{ path: string; sessionId: string; prompt: Json }> {
  const sessionId = await api.session(token);
  await api.call('POST', `/v1/sessions/${sessionId}/messages`, { text }, { token });
  return waitForPrompt(api, token, sessionId);
}

async function waitForPrompt(api: Api, token: string, sessionId: string) {
  const stream = await api.stream(`/v1/sessions/${sessionId}/events?after=0`, { token });
  const opened = (await stream.until(({ event }) => event === 'prompt-open')).at(-1)?.json;
  return { path: `/v1/sessions/${sessionId}/prompts/${opened.promptId}`, sessionId, prompt: opened };
}

const answer = (api: Api, path: string, token: string, value: string) =>
  api.call('POST', path, { answer: value, clientId: `c_${token.slice(-8)}_${value}` }, { token });

test('R90: without a sandbox an admin alone may allow a command; tools and write are told who can, and may deny it', async () => {
  const api = await openApi({ workspace: workspace(), sandbox: 'off' });
  const write = await api.issue('ann', 'write');
  const tools = await api.issue('ann', 'write', 'tools');
  const admin = await api.issue('root', 'admin');
  const { path, prompt } = await openPrompt(api, write.token);
  expect(prompt).toMatchObject({ needs: 'admin', detail: expect.stringContaining('It is not confined') });
  for (const { token } of [write, tools])
    for (const value of ['once', 'session', 'always'])
      expect((await answer(api, path, token, value)).body).toMatchObject({
        status: 403,
        detail: expect.stringContaining('the scope admin'),
      });
  expect((await answer(api, path, admin.token, 'once')).status).toBe(200);
  const second = await openPrompt(api, write.token);
  expect((await answer(api, second.path, write.token, 'deny')).status).toBe(200);
});

test('R90: with the operator’s switch the scope tools is enough, and write is not', async () => {
  const api = await openApi({ workspace: workspace(), sandbox: 'off', unsandboxedTools: true });
  const write = await api.issue('ann', 'write');
  const tools = await api.issue('bob', 'write', 'tools');
  const { path, prompt } = await openPrompt(api, tools.token);
  expect(prompt.needs).toBe('tools');
  expect((await answer(api, path, tools.token, 'once')).status).toBe(200);
  const own = await openPrompt(api, write.token);
  expect((await answer(api, own.path, write.token, 'once')).body.detail).toContain('the scope tools');
});

test('R90: an answer sent before its prompt opens gains no right by it', async () => {
  const api = await openApi({ workspace: workspace(), sandbox: 'off' });
  const write = await api.issue('ann', 'write');
  const sessionId = await api.session(write.token);
  const sent = await api.call('POST', `/v1/sessions/${sessionId}/messages`, { text: COMMAND }, { token: write.token });
  const path = `/v1/sessions/${sessionId}/prompts/${String(sent.body.turnId).replace(/^t_/, 'p_')}_1`;
  const early = await Promise.all(
    Array.from({ length: 40 }, (_, n) =>
      api.call('POST', path, { answer: 'once', clientId: `early_${n}` }, { token: write.token }),
    ),
  );
  expect(early.filter(({ status }) => status === 200)).toEqual([]);
  const { prompt } = await waitForPrompt(api, write.token, sessionId);
  const { view } = (await api.call('GET', `/v1/sessions/${sessionId}`, undefined, { token: write.token })).body;
  expect(view.prompts.map((open: Json) => open.promptId)).toEqual([prompt.promptId]);
});

test('R90: a grant counts only as long as its giver may allow the tool', async () => {
  const api = await openApi({ workspace: workspace(), sandbox: 'off', unsandboxedTools: true });
  const write = await api.issue('ann', 'write');
  const tools = await api.issue('ann', 'tools', 'write');
  const first = await openPrompt(api, write.token);
  expect((await answer(api, first.path, tools.token, 'session')).status).toBe(200);
  const { sessionId } = first;
  const send = () => api.call('POST', `/v1/sessions/${sessionId}/messages`, { text: COMMAND }, { token: write.token });
  const stream = await api.stream(`/v1/sessions/${sessionId}/events?after=0`, { token: write.token });
  await stream.until(({ event }) => event === 'stream-end');
  await send();
  const granted = await stream.until(({ event }) => event === 'stream-end');
  expect(granted.map(({ event }) => event)).not.toContain('prompt-open');
  await api.call('DELETE', `/v1/tokens/${tools.tokenId}`);
  await send();
  await stream.until(({ event }) => event === 'prompt-open');
});

test('P2: what the rehearsal plays runs nothing, so a writer may allow it', async () => {
  const api = await openApi();
  const write = await api.issue('ann', 'write');
  const { path, prompt } = await openPrompt(api, write.token, '/scene approval rate=5000');
  expect(prompt.needs).toBe('write');
  expect((await answer(api, path, write.token, 'once')).status).toBe(200);
});

test('M7: a workspace that is not there, or is the data directory, is refused at the start', async () => {
  const dir = workspace();
  await expect(openApi({ workspace: join(dir, 'missing') })).rejects.toThrow('which is no directory');
  await expect(openApi({ workspace: dir, data: dir })).rejects.toThrow('the data directory itself');
});

test('R96: an approval shows each character of its command, at the API and so at every door', async () => {
  const api = await openApi({ workspace: workspace(), sandbox: 'off' });
  const { token } = await api.issue('ann', 'write');
  const { prompt } = await openPrompt(
    api,
    token,
    `/scene tool run="ls \u202Ecod.sh\u200B${' '.repeat(90)}; rm x" rate=5000 tokens=3`,
  );
  expect(prompt.detail).toContain('ls \\u{202e}cod.sh\\u{200b} \\{90 blanks} ; rm x');
  expect(prompt.detail).not.toMatch(/\p{Cf}/u);
});
