/**
 * A real gateway on SQLite, killed with -9 where it hurts, and started again on the same data: what people saw is in the
 * transcript, once.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { rehearse } from '@holdfast/agents/rehearse';
import type { Session, SessionState } from '@holdfast/client';
import { expect, test } from 'vitest';
import { serve, temporaryDir, type Env } from './holdfast.ts';

/** Resolves with the first state that is as wanted. */
function until(session: Session, wanted: (state: SessionState) => boolean): Promise<SessionState> {
  return new Promise((resolve) => {
    const look = (): void => {
      const state = session.store.getSnapshot();
      if (!wanted(state)) return;
      stop();
      resolve(state);
    };
    const stop = session.store.subscribe(look);
    look();
  });
}

const answerOf = (state: SessionState): string =>
  state.messages.findLast((message) => message.role === 'assistant')?.text ?? '';
const isIdle = ({ view, status }: SessionState): boolean =>
  status === 'ready' && view.turn === null && view.closing === null && view.turns.length > 0;

test('R33, R36, E9: killed in mid-answer: the transcript is a prefix of what was to be said, with all that a reader saw', async () => {
  await using dir = await temporaryDir();
  const scene = '/scene long tokens=4000 rate=400 seed=11';
  const first = await serve(dir.path);
  const session = await first.client().createSession({ id: 's_kill' });
  await session.send(scene);
  const seen = answerOf(await until(session, (state) => answerOf(state).length > 500));
  await first.end('SIGKILL');
  await first[Symbol.asyncDispose]();

  await using second = await serve(dir.path);
  const again = second.client().session('s_kill');
  const state = await until(again, isIdle);
  const text = answerOf(state);
  expect(rehearse(scene).startsWith(text)).toBe(true);
  expect(text.startsWith(seen)).toBe(true);
  expect(state.messages.at(-1)?.state).toBe('interrupted');
  // And the session goes on.
  const turn = await again.send('/scene plain tokens=10 seed=2 rate=2000');
  expect(await turn.text()).toBe(rehearse('/scene plain tokens=10 seed=2 rate=2000'));
});

test('R35: killed before the first word: the same turn is started again, and its transcript is all that was to be said', async () => {
  await using dir = await temporaryDir();
  const scene = '/scene plain tokens=60 seed=11 rate=500 delay=5000';
  const first = await serve(dir.path);
  const session = await first.client().createSession({ id: 's_early' });
  await session.send(scene);
  const begun = await until(session, ({ view }) => view.turn !== null);
  await first.end('SIGKILL');
  await first[Symbol.asyncDispose]();

  await using second = await serve(dir.path);
  const state = await until(second.client().session('s_early'), isIdle);
  expect(state.messages.at(-1)).toMatchObject({ state: 'completed', turnId: begun.view.turn?.turnId });
  expect(answerOf(state)).toBe(rehearse(scene));
  expect(state.messages).toHaveLength(2);
});

test('R25, R23: killed with a queue: every message that was acknowledged is answered, once, in its order; sent again it is the same', async () => {
  await using dir = await temporaryDir();
  const first = await serve(dir.path);
  const session = await first.client().createSession({ id: 's_queue' });
  // The first is not through before all are in the queue, however long that takes.
  const endless = '/scene plain tokens=4000 seed=0 rate=20';
  const scenes = [endless, ...[1, 2, 3, 4].map((n) => `/scene plain tokens=8 seed=${n} rate=2000`)];
  for (const [n, scene] of scenes.entries()) {
    const turn = await session.send(scene, { clientId: `c_${n}` });
    expect(await turn.admission).toMatchObject({ kind: 'accepted', duplicate: false });
  }
  await until(session, (state) => state.view.queue.length === scenes.length - 1 && answerOf(state) !== '');
  await first.end('SIGKILL');
  await first[Symbol.asyncDispose]();

  await using second = await serve(dir.path);
  const again = second.client().session('s_queue');
  const repeated = await again.send(scenes[3]!, { clientId: 'c_3' });
  expect(await repeated.admission).toMatchObject({ kind: 'accepted', duplicate: true });
  const state = await until(again, (it) => isIdle(it) && it.view.queue.length === 0);
  const asked = state.messages.filter((message) => message.role === 'user').map((message) => message.text);
  expect(asked).toEqual(scenes);
  const answers = state.messages.filter((message) => message.role === 'assistant').map((message) => message.text);
  expect(answers.slice(1)).toEqual(scenes.slice(1).map((scene) => rehearse(scene)));
  expect(rehearse(scenes[0]!).startsWith(answers[0]!)).toBe(true);
});

test('R27, R28: killed with an approval open: another client answers after the restart, the same turn completes, the tool runs once', async () => {
  await using dir = await temporaryDir();
  const workspace = path.join(dir.path, 'work');
  await mkdir(workspace);
  const env: Env = { HOLDFAST_WORKSPACE: workspace, HOLDFAST_SANDBOX: 'off' };
  const first = await serve(dir.path, env);
  const session = await first.client().createSession({ id: 's_approve' });
  await session.send('/scene tool run="echo ran >> ran.txt" seed=4 rate=2000');
  const waiting = await until(session, ({ view }) => view.turn?.state === 'parked');
  await first.end('SIGKILL');
  await first[Symbol.asyncDispose]();

  await using second = await serve(dir.path, env);
  const other = second.client().session('s_approve');
  const open = await until(other, ({ view }) => view.prompts.length === 1);
  expect(open.view.turn?.turnId).toBe(waiting.view.turn?.turnId);
  const promptId = open.view.prompts[0]!.promptId;
  expect(await other.answer(promptId, 'once')).toMatchObject({ kind: 'answered' });
  expect(await other.answer(promptId, 'deny')).toMatchObject({ kind: 'closed', outcome: 'answered', answer: 'once' });
  const done = await until(other, isIdle);
  expect(done.messages.at(-1)).toMatchObject({ state: 'completed', turnId: waiting.view.turn?.turnId });
  expect(readFileSync(path.join(workspace, 'ran.txt'), 'utf8')).toBe('ran\n');
});

/** Processes whose command line names the marker. */
function processesNaming(marker: string): readonly string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(marker);
    } catch {
      return false;
    }
  });
}

test('D2: killed while a tool runs: its processes are gone, and what it was to do is never done', async () => {
  await using dir = await temporaryDir();
  const workspace = path.join(dir.path, 'work');
  await mkdir(workspace);
  const first = await serve(dir.path, { HOLDFAST_WORKSPACE: workspace, HOLDFAST_SANDBOX: 'off' });
  const session = await first.client().createSession({ id: 's_tool' });
  const marker = `marker-${path.basename(dir.path)}`;
  await session.send(`/scene tool run="echo started; sleep 100; touch ${marker}" seed=4 rate=2000`);
  const asked = await until(session, ({ view }) => view.prompts.length === 1);
  await session.answer(asked.view.prompts[0]!.promptId, 'once');
  await until(
    session,
    (state) =>
      state.messages.at(-1)?.parts.some((part) => part.type === 'tool' && part.output.includes('started')) === true,
  );
  expect(processesNaming(marker).length).toBeGreaterThan(0);
  await first.end('SIGKILL');
  await first[Symbol.asyncDispose]();
  await expect.poll(() => processesNaming(marker)).toEqual([]);

  await using second = await serve(dir.path, { HOLDFAST_WORKSPACE: workspace, HOLDFAST_SANDBOX: 'off' });
  const state = await until(second.client().session('s_tool'), isIdle);
  expect(state.messages.at(-1)).toMatchObject({ state: 'interrupted' });
  expect(state.messages.at(-1)?.parts.find((part) => part.type === 'tool')).toMatchObject({ state: 'uncertain' });
  expect(existsSync(path.join(workspace, marker))).toBe(false);
});

test('R32, R51: SIGTERM in mid-answer: the turn may finish within its budget, then ends interrupted with its text; exit code 0', async () => {
  await using dir = await temporaryDir();
  const scene = '/scene long tokens=20000 rate=200 seed=5';
  const first = await serve(dir.path, { HOLDFAST_DRAIN_MS: '300' });
  const session = await first.client().createSession({ id: 's_term' });
  await session.send(scene);
  const seen = answerOf(await until(session, (state) => answerOf(state).length > 100));
  expect(await first.end('SIGTERM')).toBe(0);
  await first[Symbol.asyncDispose]();

  await using second = await serve(dir.path);
  const state = await until(second.client().session('s_term'), isIdle);
  expect(state.messages.at(-1)).toMatchObject({ state: 'interrupted', fault: 'shutdown' });
  expect(answerOf(state).startsWith(seen)).toBe(true);
  expect(rehearse(scene).startsWith(answerOf(state))).toBe(true);
});

test('R33, R51: SIGTERM in mid-answer: readers are told goodbye, the turn finishes within its budget, nothing new begins', async () => {
  await using dir = await temporaryDir();
  const scene = '/scene plain tokens=100 rate=100 seed=5';
  const first = await serve(dir.path, { HOLDFAST_DRAIN_MS: '20000' });
  const session = await first.client().createSession({ id: 's_term' });
  await session.send(scene);
  await session.send('/scene plain tokens=5 seed=6');
  const reader = await fetch(`${first.url}/v1/sessions/s_term/events?after=0`, {
    headers: { authorization: `Bearer ${first.token}` },
  });
  await until(session, (state) => answerOf(state).length > 20);
  const told = reader.text();
  expect(await first.end('SIGTERM')).toBe(0);
  expect(await told).toMatch(/event: goodbye\ndata: \{[^\n]*"reason":"shutdown"[^\n]*\}\n\n$/);
  await first[Symbol.asyncDispose]();

  await using second = await serve(dir.path);
  const state = await until(
    second.client().session('s_term'),
    (it) => isIdle(it) && it.view.turns.length === 2 && it.view.turns.every(({ outcome }) => outcome !== null),
  );
  expect(state.view.turns.map(({ outcome }) => outcome)).toEqual(['completed', 'completed']);
  const answers = state.messages.filter((message) => message.role === 'assistant').map((message) => message.text);
  expect(answers).toEqual([rehearse(scene), rehearse('/scene plain tokens=5 seed=6')]);
});

test('R32: SIGTERM while an agent hears no stop: it is not waited for, and its session is free at the next start', async () => {
  await using dir = await temporaryDir();
  const first = await serve(dir.path, { HOLDFAST_DRAIN_MS: '300' });
  const session = await first.client().createSession({ id: 's_deaf' });
  // It would go on for longer than this test may.
  await session.send('/scene deaf tokens=20000 rate=50');
  await until(session, (state) => answerOf(state).length > 20);
  expect(await first.end('SIGTERM')).toBe(0);
  await first[Symbol.asyncDispose]();

  await using second = await serve(dir.path);
  const again = second.client().session('s_deaf');
  expect((await until(again, isIdle)).messages.at(-1)).toMatchObject({ state: 'interrupted' });
  const turn = await again.send('/scene plain tokens=10 seed=2 rate=2000');
  expect(await turn.text()).toBe(rehearse('/scene plain tokens=10 seed=2'));
});
