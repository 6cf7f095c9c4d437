/** Side questions on real sockets: beside the turn, cancelled, taken up again, kept. */
import { expect, test } from 'vitest';
import { sleepOn, systemClock, type Agent, type Clock } from '@holdfast/session';
import { configOf } from '../src/index.ts';
import { openApi, type Api, type EventReader, type StreamEvent } from './harness.ts';

const ask = (api: Api, sessionId: string, question: string, more: object = {}): Promise<EventReader> =>
  api.stream(`/v1/sessions/${sessionId}/btw`, { body: { question, ...more } });
const pathOf = (sessionId: string, btwId: string): string => `/v1/sessions/${sessionId}/btw/${btwId}`;
const answerOf = (events: readonly StreamEvent[]): string =>
  events.flatMap(({ event, json }) => (event === 'btw-delta' ? [json.text as string] : [])).join('');
const idIn = (events: readonly StreamEvent[]): string =>
  events.find(({ event }) => event === 'btw-start')?.json.btwId as string;
const startOf = async (reader: EventReader): Promise<StreamEvent> =>
  (await reader.untilType('btw-start')).at(-1) as StreamEvent;

/** Says one word, then waits for its gate or its signal; each question is told by what it does. */
function gatedAgent(): {
  readonly agent: Agent;
  readonly aborted: Promise<void>;
  readonly open: () => void;
  asked: number;
} {
  const aborted = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const told = { asked: 0 };
  const agent: Agent = {
    name: 'gated',
    description: '',
    resumable: true,
    run: async function* run() {
      yield { type: 'text', text: 'answer' };
      return { outcome: 'completed' };
    },
    btw: async function* btw(_input, { signal }) {
      told.asked += 1;
      yield { type: 'text', text: 'one ' };
      signal.addEventListener('abort', () => aborted.resolve());
      await Promise.race([gate.promise, new Promise((resolve) => signal.addEventListener('abort', resolve))]);
      yield { type: 'text', text: 'two' };
      return { outcome: 'completed' };
    },
  };
  return {
    agent,
    aborted: aborted.promise,
    open: () => gate.resolve(),
    get asked() {
      return told.asked;
    },
  };
}

async function settled(api: Api, text = 'hello'): Promise<string> {
  const sessionId = await api.session();
  const { body } = await api.send(sessionId, text);
  const stream = await api.stream(`/v1/sessions/${sessionId}/turns/${body.turnId}/stream`);
  await stream.untilType('stream-end');
  return sessionId;
}

test('C1: a question is answered while a turn runs, the turn is not disturbed, and nothing of it is in the log', async () => {
  const api = await openApi();
  const sessionId = await api.session();
  const { body } = await api.send(sessionId, '/scene plain tokens=300 rate=100 seed=7');
  const turn = await api.stream(`/v1/sessions/${sessionId}/turns/${body.turnId}/stream`);
  await turn.untilType('text-delta');
  const btw = await ask(api, sessionId, 'how far are you?');
  const events = await btw.untilType('btw-end');
  expect(events.map(({ event }) => event).filter((type) => type !== 'btw-delta')).toEqual([
    'hello',
    'btw-start',
    'btw-end',
  ]);
  expect(answerOf(events)).toBe(
    'You asked beside the conversation: “how far are you?”. It has 2 messages; the last one is being written.',
  );
  expect(await btw.ended()).toBe('clean');
  const rest = await turn.untilType('stream-end');
  expect(rest.find(({ event }) => event === 'turn-end')?.json.outcome).toBe('completed');
  const all = await api.stream(`/v1/sessions/${sessionId}/events?after=0`);
  const log = await all.untilType('stream-end');
  expect(log.filter(({ data }) => data.includes('btw') || data.includes('how far'))).toEqual([]);
});

test('C1: what is kept is in the transcript once, with who asked, also after the question is kept again', async () => {
  const api = await openApi();
  const sessionId = await settled(api);
  const btw = await ask(api, sessionId, 'why?');
  const events = await btw.untilType('btw-end');
  const btwId = idIn(events);
  const keep = `${pathOf(sessionId, btwId)}/keep`;
  const kept = await api.call('POST', keep);
  expect(kept.body).toMatchObject({ btwId, result: 'kept', duplicate: false });
  expect((await api.call('POST', keep)).body).toEqual({ ...kept.body, duplicate: true });
  const { body } = await api.call('GET', `/v1/sessions/${sessionId}`);
  expect(body.view.messages.at(-1).btws).toEqual([
    {
      btwId,
      question: 'why?',
      answer: answerOf(events),
      agent: 'rehearsal',
      author: 'admin',
      askedAt: expect.any(String),
    },
  ]);
  const exported = await api.call('GET', `/v1/sessions/${sessionId}/export`);
  expect(exported.text.split('\n').filter((line) => line.includes('btw-keep'))).toHaveLength(1);
});

test('C1: a question that is still being answered cannot be kept', async () => {
  const { agent, open } = gatedAgent();
  const api = await openApi({}, { agents: [agent] });
  const sessionId = await settled(api);
  const btw = await ask(api, sessionId, 'why?');
  const { btwId } = (await startOf(btw)).json;
  const refused = await api.call('POST', `${pathOf(sessionId, btwId)}/keep`);
  expect([refused.status, refused.body.fault, refused.body.facts]).toEqual([
    409,
    'btw-unfinished',
    { state: 'running' },
  ]);
  open();
  await btw.untilType('btw-end');
  expect((await api.call('POST', `${pathOf(sessionId, btwId)}/keep`)).status).toBe(200);
});

test('C1: the same client id is the same question, asked once', async () => {
  const gated = gatedAgent();
  const api = await openApi({}, { agents: [gated.agent] });
  const sessionId = await settled(api);
  const first = await ask(api, sessionId, 'why?', { clientId: 'c_1' });
  const again = await ask(api, sessionId, 'why?', { clientId: 'c_1' });
  expect((await startOf(again)).json.btwId).toBe((await startOf(first)).json.btwId);
  expect(gated.asked).toBe(1);
  const other = await api.call('POST', `/v1/sessions/${sessionId}/btw`, { question: 'what?', clientId: 'c_1' });
  expect([other.status, other.body.fault]).toEqual([409, 'client-id-reused']);
});

test('C2: DELETE cancels at once, and the agent is told', async () => {
  const { agent, aborted } = gatedAgent();
  const api = await openApi({}, { agents: [agent] });
  const sessionId = await settled(api);
  const btw = await ask(api, sessionId, 'why?');
  const { btwId } = (await startOf(btw)).json;
  expect((await api.call('DELETE', pathOf(sessionId, btwId))).body).toEqual({ btwId, result: 'cancelling' });
  await aborted;
  expect((await btw.untilType('btw-end')).at(-1)?.json.outcome).toBe('cancelled');
  expect(await btw.ended()).toBe('clean');
  expect((await api.call('DELETE', pathOf(sessionId, btwId))).body).toEqual({
    btwId,
    result: 'already-ended',
    outcome: 'cancelled',
  });
  expect((await api.call('POST', `${pathOf(sessionId, btwId)}/keep`)).body.facts).toEqual({ state: 'cancelled' });
});

/** Real time but for spans of ten seconds, which are let go by hand. */
function tenSeconds(): { readonly clock: Clock; readonly pass: () => void; readonly waiting: () => number } {
  const due = new Set<() => void>();
  const clock: Clock = {
    ...systemClock,
    after: (ms, run) => {
      if (ms !== 10_000) return systemClock.after(ms, run);
      due.add(run);
      return { cancel: () => due.delete(run) };
    },
    sleep: (ms, signal) => sleepOn(clock, ms, signal),
  };
  return {
    clock,
    pass: () => {
      for (const run of due) run();
      due.clear();
    },
    waiting: () => due.size,
  };
}

test('C2: a reader that went is waited for ten seconds; one that comes back goes on where it was, to the byte', async () => {
  const { agent, open } = gatedAgent();
  const { clock, waiting, pass } = tenSeconds();
  const api = await openApi({}, { agents: [agent], clock });
  const sessionId = await settled(api);
  const btw = await ask(api, sessionId, 'why?');
  const before = await btw.untilType('btw-delta');
  const btwId = idIn(before);
  await expect.poll(waiting).toBe(0);
  btw.close();
  await expect.poll(waiting).toBe(1);
  const back = await api.stream(pathOf(sessionId, btwId), { headers: { 'last-event-id': before.at(-1)?.id ?? '' } });
  await back.untilType('hello');
  await expect.poll(waiting).toBe(0);
  pass();
  open();
  const after = await back.untilType('btw-end');
  expect(after.at(-1)?.json.outcome).toBe('completed');
  const whole = await api.stream(pathOf(sessionId, btwId));
  const all = await whole.untilType('btw-end');
  const bare = (events: readonly StreamEvent[]): object[] =>
    events.filter(({ event }) => event !== 'hello').map(({ id, event, data }) => ({ id, event, data }));
  expect([...bare(before), ...bare(after)]).toEqual(bare(all));
  const over = await api.call('GET', pathOf(sessionId, btwId), undefined, {
    headers: { 'last-event-id': after.at(-1)?.id ?? '' },
  });
  expect(over.status).toBe(204);
});

test('C2: nobody reads it for ten seconds: it is cancelled', async () => {
  const { agent, aborted } = gatedAgent();
  const { clock, waiting, pass } = tenSeconds();
  const api = await openApi({}, { agents: [agent], clock });
  const sessionId = await settled(api);
  const btw = await ask(api, sessionId, 'why?');
  const { btwId } = (await startOf(btw)).json;
  await expect.poll(waiting).toBe(0);
  btw.close();
  await expect.poll(waiting).toBe(1);
  pass();
  await aborted;
  const after = await api.stream(pathOf(sessionId, btwId));
  expect((await after.untilType('btw-end')).at(-1)?.json).toMatchObject({ outcome: 'cancelled' });
});

test('C1: four questions of one person at once; the fifth is asked to wait', async () => {
  const { agent, open } = gatedAgent();
  const api = await openApi({}, { agents: [agent] });
  const sessionId = await settled(api);
  const four = await Promise.all([1, 2, 3, 4].map((n) => ask(api, sessionId, `question ${n}`)));
  const fifth = await api.call('POST', `/v1/sessions/${sessionId}/btw`, { question: 'one more' });
  expect([fifth.status, fifth.body.fault, typeof fifth.body.retryAfterMs]).toEqual([429, 'too-many-btws', 'number']);
  open();
  for (const one of four) await one.untilType('btw-end');
  const later = await ask(api, sessionId, 'one more');
  await later.untilType('btw-end');
});

test('C1: a question for which there is no reader is refused, and not asked', async () => {
  const gated = gatedAgent();
  const limits = { ...configOf({}).limits, readersPerSubjectMax: 1 };
  const api = await openApi({ limits }, { agents: [gated.agent] });
  const sessionId = await settled(api);
  const metrics = async (): Promise<string> => (await api.call('GET', '/metrics')).text;
  await expect.poll(metrics).toContain('holdfast_readers 0');
  const held = await api.stream('/v1/feed');
  await held.next();
  const body = { question: 'why?', clientId: 'c-1' };
  const refused = await api.call('POST', `/v1/sessions/${sessionId}/btw`, body);
  expect(refused.body).toMatchObject({ status: 429, fault: 'too-many-readers' });
  expect(await metrics()).toContain('holdfast_btws_running 0');
  expect(gated.asked).toBe(0);
});

test('C1: an agent that answers no questions, a session without a turn, and somebody else’s question', async () => {
  const { agent } = gatedAgent();
  const { btw: _none, ...silent } = agent;
  const api = await openApi({}, { agents: [{ ...silent, name: 'silent' }, agent] });
  const sessionId = await settled(api);
  const refused = await api.call('POST', `/v1/sessions/${sessionId}/btw`, { question: 'why?' });
  expect([refused.status, refused.body.fault]).toEqual([501, 'btw-unsupported']);
  const { body } = await api.call('POST', '/v1/sessions', { agent: 'gated' });
  const empty = await api.call('POST', `/v1/sessions/${body.session.sessionId}/btw`, { question: 'why?' });
  expect([empty.status, empty.body.fault]).toEqual([404, 'turn-not-found']);

  const alice = await api.issue('alice', 'read', 'write');
  const { body: hers } = await api.call('POST', '/v1/sessions', { agent: 'gated' }, { token: alice.token });
  const id = hers.session.sessionId;
  await api.call('POST', `/v1/sessions/${id}/messages`, { text: 'hello' }, { token: alice.token });
  const asked = await api.stream(`/v1/sessions/${id}/btw`, { token: alice.token, body: { question: 'why?' } });
  const { btwId } = (await startOf(asked)).json;
  for (const method of ['GET', 'DELETE'])
    expect((await api.call(method, pathOf(id, btwId))).body.fault).toBe('btw-not-found');
});

test('C1: a session that is deleted ends its questions', async () => {
  const { agent, aborted } = gatedAgent();
  const api = await openApi({}, { agents: [agent] });
  const sessionId = await settled(api);
  const btw = await ask(api, sessionId, 'why?');
  const { btwId } = (await startOf(btw)).json;
  await api.call('DELETE', `/v1/sessions/${sessionId}`);
  await aborted;
  expect((await btw.untilType('goodbye')).at(-1)?.json.reason).toBe('session-deleted');
  expect((await api.log.stat(`btw/${sessionId}/${btwId}`)).kind).toBe('deleted');
});
