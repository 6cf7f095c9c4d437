/**
 * A gateway on SQLite as a process of its own, with an agent that says the time: `server.ts DIRECTORY SESSIONS PER_SECOND SECONDS`. Told `start`,
 * every session gets a message and its turn speaks at the rate for the time; `fill N` makes a session of N entries.
 */
import { configOf, startGateway } from '@holdfast/gateway';
import { openSqliteLog } from '@holdfast/log/sqlite';
import type { ClientId, EntryBody, MessageId, SessionId, TurnId } from '@holdfast/protocol';
import { encodeEntry, type Agent } from '@holdfast/session';

const [directory = '', sessionsText = '', rateText = '', secondsText = ''] = process.argv.slice(2);
const sessions = Number(sessionsText);
const gapMs = 1_000 / Number(rateText);
const tokens = Math.round((Number(secondsText) * 1_000) / gapMs);

const clockAgent: Agent = {
  name: 'clock',
  description: 'Says what time it is',
  resumable: true,
  async *run({ messages }, { signal, clock }) {
    if (messages[0]?.text === 'nothing') return { outcome: 'completed' };
    // Sessions do not speak in step.
    await clock.sleep(Math.random() * gapMs, signal);
    const startedMs = performance.now();
    for (let n = 0; n < tokens && !signal.aborted; n += 1) {
      await clock.sleep(Math.max(0, startedMs + n * gapMs - performance.now()), signal);
      yield { type: 'text', text: `@${(performance.timeOrigin + performance.now()).toFixed(3)}@ ` };
    }
    return { outcome: 'completed' };
  },
};

const log = await openSqliteLog({ dir: directory });
const limits = { ...configOf({}).limits, requestsPerS: 1_000_000, requestsBurst: 1_000_000 };
const config = configOf({ port: 0, store: { kind: 'memory' }, log: 'silent', token: 'hf_bench', drainMs: 0, limits });
const gateway = await startGateway(config, { log, agents: [clockAgent] });
const { service } = gateway;
const author = 'admin';
const sessionOf = (n: number): SessionId => `s_${n}` as SessionId;
for (let n = 0; n < sessions; n += 1)
  await service.create({ type: 'session-open', sessionId: sessionOf(n), clientId: 'open' as ClientId, author });
process.send?.({ port: gateway.port });

const say = (n: number): Promise<unknown> =>
  service.submit(sessionOf(n), {
    type: 'message',
    clientId: 'c1' as ClientId,
    author,
    messageId: `m_${n}` as MessageId,
    text: 'the time',
    whenBusy: 'queue',
  });

/** Turns of a thousand entries, written as their owner would have, by an owner of our own: nobody else may take the session meanwhile. */
async function fill(entries: number): Promise<void> {
  const sessionId = 's_long' as SessionId;
  const stream = `session/${sessionId}`;
  const opened = encodeEntry({ type: 'session-open', sessionId, clientId: 'open' as ClientId, author });
  await log.create(stream, { contentType: 'application/json', first: { records: [opened] } });
  await log.holders.renew('bench', 60_000);
  const acquired = await log.consumers.acquire(stream, 'run', 'bench');
  if (acquired.kind !== 'acquired') throw new Error(`The session could not be taken: ${acquired.kind}`);
  let head = 1;
  for (let turn = 0; turn < entries / 1_000; turn += 1) {
    const verdict = await log.append(stream, { records: turnOf(turn).map(encodeEntry) });
    if (verdict.kind !== 'appended') throw new Error(`The session could not be filled: ${verdict.kind}`);
    head = verdict.last;
  }
  await log.consumers.release(stream, 'run', { epoch: acquired.epoch, upTo: head });
}

function turnOf(turn: number): readonly EntryBody[] {
  const [turnId, asked, answer] = [`t_${turn}` as TurnId, `m_${turn}` as MessageId, `a_${turn}` as MessageId];
  const parent = turn === 0 ? null : (`t_${turn - 1}` as TurnId);
  return [
    {
      type: 'message',
      clientId: `c_${turn}` as ClientId,
      author,
      messageId: asked,
      text: 'on and on',
      whenBusy: 'queue',
    },
    { type: 'turn-start', turnId, messageIds: [asked], messageId: answer, agent: 'clock', attempt: 1, parent },
    ...Array.from({ length: 995 }, (): EntryBody => ({
      type: 'text-delta',
      turnId,
      messageId: answer,
      text: 'a dozen words ',
    })),
    { type: 'turn-end', turnId, outcome: 'completed' },
    { type: 'usage', turnId, inputTokens: 10, outputTokens: 995, durationMs: 1 },
    { type: 'stream-end', turnId },
  ];
}

process.on('message', (message: string) => {
  const [verb, count] = message.split(' ');
  const done = verb === 'fill' ? fill(Number(count)) : Promise.all(Array.from({ length: sessions }, (_, n) => say(n)));
  void done.then(() => process.send?.({ done: verb }));
});
process.on('disconnect', () => process.exit(0));
