/** Turns that have left the view's window of 50: what waits for them runs with what it was accepted for. */
import { afterEach, expect, test } from 'vitest';
import { WINDOW_TURNS, type MessageId, type TurnId, type View } from '@holdfast/protocol';
import type { RunInput } from '../src/index.ts';
import { echo, fresh, scripted, World, type Script } from './world.ts';

interface Seen {
  readonly turnId: TurnId;
  readonly asked: readonly string[];
  readonly history: readonly string[];
  readonly earlierTurns: number;
}

/** Echoes, and notes what it was given; a message `wait` is answered when the gate opens. */
function watched(): { readonly script: Script; readonly seen: Seen[]; readonly open: () => void } {
  const gate = Promise.withResolvers<void>();
  const seen: Seen[] = [];
  const texts = (messages: RunInput['messages']): readonly string[] => messages.map(({ text }) => text.trim());
  const script: Script = async function* watchedScript(input, context) {
    const { turnId, messages, history, earlierTurns } = input;
    seen.push({ turnId, asked: texts(messages), history: texts(history), earlierTurns });
    if (messages[0]?.text === 'wait') await gate.promise;
    return yield* echo(input, context);
  };
  return { script, seen, open: gate.resolve };
}

let world: World;
afterEach(() => world.close());

const said = (view: View): readonly string[] => view.messages.map(({ text }) => text.trim());
const pairs = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from + 1 }, (_, n) => `n${from + n}`).flatMap((text) => [text, text]);

async function tell(count: number): Promise<readonly TurnId[]> {
  const turns: TurnId[] = [];
  for (let n = 1; n <= count; n += 1) {
    const { verdict } = await world.say(`n${n}`);
    if (verdict.kind === 'accepted' && verdict.turnId !== undefined) turns.push(verdict.turnId);
  }
  await world.idle();
  return turns;
}

const regenerate = (turnId: TurnId, clientId = fresh('c')): ReturnType<World['submit']> =>
  world.submit({ type: 'regenerate', messageId: fresh('m') as MessageId, turnId, clientId } as never);
const idOf = (receipt: Awaited<ReturnType<World['submit']>>): TurnId =>
  receipt.kind === 'ok' && receipt.verdict.kind === 'accepted' ? receipt.verdict.turnId! : ('none' as TurnId);

test('R76: a regenerate and a branch that wait while their turn leaves the window run with its messages and history', async () => {
  const agent = watched();
  world = await World.open([scripted(agent.script)]);
  const turns = await tell(60);
  const running = await world.say('wait');
  // The running turn is the newest of the 50 now.
  const oldest = (await world.view()).turns[0]!;
  const at = turns.indexOf(oldest.turnId) + 1;
  const [again, branch] = [await regenerate(oldest.turnId), await world.say('branch', { after: oldest.turnId })];
  expect(running.verdict).toMatchObject({ kind: 'accepted' });
  agent.open();
  await world.idle();
  const history = pairs(1, at - 1);
  expect(agent.seen.find(({ turnId }) => turnId === idOf(again))).toMatchObject({ asked: [`n${at}`], history });
  expect(agent.seen.find(({ turnId }) => turnId === idOf(branch))).toMatchObject({
    asked: ['branch'],
    history: pairs(1, at),
    earlierTurns: 0,
  });
  const view = await world.view();
  const node = view.turns.find(({ turnId }) => turnId === idOf(again));
  expect(node?.messageIds).toEqual(oldest.messageIds);
  expect(view.offPath.map(({ text }) => text.trim())).toContain(`n${at}`);
});

test('R76: 60 regenerates at once of one message are 60 right answers', async () => {
  const agent = watched();
  world = await World.open([scripted(agent.script)]);
  const turns = await tell(70);
  const wanted = turns[65]!;
  const receipts = await Promise.all(Array.from({ length: 60 }, () => regenerate(wanted)));
  const view = await world.idle();
  for (const receipt of receipts) {
    const seen = agent.seen.find(({ turnId }) => turnId === idOf(receipt));
    expect(seen).toMatchObject({ asked: ['n66'], history: pairs(17, 65) });
    expect(seen?.earlierTurns).toBeGreaterThanOrEqual(16);
    const turn = await world.service.turn(world.sessionId, idOf(receipt));
    expect(turn.kind === 'ok' && turn.node.outcome).toBe('completed');
    expect(turn.kind === 'ok' && turn.messages.map(({ text }) => text.trim())).toEqual(['n66', 'n66']);
  }
  // The shown one has its question, though that was sent long before the window.
  expect(said(view)).toEqual(['n66', 'n66']);
});

test('R76: a turn from long before the window is regenerated, branched from and switched to', async () => {
  const agent = watched();
  world = await World.open([scripted(agent.script)]);
  const turns = await tell(120);
  const again = await regenerate(turns[4]!);
  await world.idle();
  expect(agent.seen.at(-1)).toEqual({ turnId: idOf(again), asked: ['n5'], history: pairs(1, 4), earlierTurns: 0 });
  expect(said(await world.view())).toEqual(['n5', 'n5']);

  await world.say('and then?');
  await world.idle();
  expect(agent.seen.at(-1)?.history).toEqual(pairs(1, 5));

  await world.say('root', { after: turns[0]! });
  await world.idle();
  expect(agent.seen.at(-1)).toMatchObject({ asked: ['root'], history: pairs(1, 1), earlierTurns: 0 });

  // Of the first turn's branches the newest is gone on with; of the 90th that of the others, whose end is in the window.
  await world.submit({ type: 'branch-switch', turnId: turns[89] } as never);
  expect((await world.view()).leaf).toBe(turns[119]);
  await world.submit({ type: 'branch-switch', turnId: turns[0] } as never);
  expect((await world.view()).leaf).toBe(agent.seen.at(-1)?.turnId);
});

test('R76: a branch that has left the window as a whole is shown as pages from its end on, and gone on from', async () => {
  const agent = watched();
  world = await World.open([scripted(agent.script)]);
  const turns = await tell(10);
  await world.say('other', { after: turns[4]! });
  await world.idle();
  await tell(WINDOW_TURNS + 5);
  const { verdict } = (await world.submit({ type: 'branch-switch', turnId: turns[5] } as never)) as {
    readonly verdict?: unknown;
  };
  expect(verdict).toEqual({ kind: 'done' });
  const view = await world.view();
  expect(view).toMatchObject({ leaf: turns[9], messages: [] });
  const page = await world.service.messages(world.sessionId, { limit: 10 });
  expect(page.kind === 'ok' && page.turns.map(({ node }) => node.turnId)).toEqual(turns);
  await world.say('on');
  await world.idle();
  expect(agent.seen.at(-1)?.history).toEqual(pairs(1, 10));
});

test('R76: a retry of a regenerate gets the first receipt, whatever the log says of its turn by then', async () => {
  const agent = watched();
  world = await World.open([scripted(agent.script)]);
  const turns = await tell(3);
  const first = await regenerate(turns[0]!, 'again');
  await tell(WINDOW_TURNS);
  const retry = await regenerate(turns[0]!, 'again');
  expect(retry).toMatchObject({ kind: 'ok', duplicate: true });
  expect(idOf(retry)).toBe(idOf(first));
});

test('R76: a turn that never was is unknown, before the window too', async () => {
  world = await World.open([scripted(echo)]);
  await tell(WINDOW_TURNS + 1);
  const nowhere = 't_nowhere' as TurnId;
  const unknown = { kind: 'ok', verdict: { kind: 'void', reason: 'turn-unknown' } };
  expect(await regenerate(nowhere)).toMatchObject(unknown);
  expect(await world.say('x', { after: nowhere, clientId: 'x' })).toMatchObject(unknown);
  expect(await world.submit({ type: 'branch-switch', turnId: nowhere } as never)).toMatchObject(unknown);
});
