/**
 * The exam at the end of a run: no more faults, everything is at rest, and the service is asked what it knows. Each answer is held
 * against the log.
 *
 *  X1  A retry of any command, however old and on whatever node, gets the receipt of the first (R23, R24); the same client id with
 *      other content is refused, and nothing is appended.
 *  X2  A reader's cursor is served where its record is there; any other gets a snapshot and the reason (R55, R60).
 *  X3  Each turn, and each page of turns back to the beginning, is what the log says.
 *  X4  The list and the feed have each session once, as the log says; a search finds it by what was said in it, and by nothing else.
 *  X5  A grant is listed where somebody gave one for always, once; a revoked one is gone. It holds in a new session too, while the
 *      store is slow to say so.
 *  X7  Nothing is held for sessions that rest: no view, no slot (R11).
 *  X8  A new session that nobody disturbs gets its answer and its title (E8); stopped, its agent is told at once, and it is free as
 *      soon as that heeds it.
 *  X6  A deleted session is gone for everybody, and the feed says so.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  isCommand,
  pathOf,
  summaryOf,
  turnIdOf,
  type ClientId,
  type Cursor,
  type Command,
  type MessageId,
  type SessionId,
  type SessionSummary,
  type TurnId,
  type View,
} from '@holdfast/protocol';
import type { Receipt, SessionService } from '@holdfast/session';
import { titleFor, type Call } from './agents.ts';
import type { Receipted } from './client.ts';
import { wentOnAt } from './heard.ts';
import type { Violate } from './ledger.ts';
import type { Truth, WatchedStore } from './store.ts';

const RETRIES_MAX = 24;
const STRANGER = 'stranger';
const EXAMINER = 'examiner';
/** A tool or a pause of an agent's script is over by then; so is one that does not heed its stop. */
const STOP_MS = 1_000;
const STOP_DEAF_MS = 3_500;
/** Twenty milliseconds each. The slowest answers take nine seconds, and a question may be several. */
const QUIET_TRIES = 2_000;
/** Steps of the store take time too. */
const TITLE_MS = 500;

export interface ExamWorld {
  readonly store: WatchedStore;
  readonly receipts: readonly Receipted[];
  readonly sessions: readonly SessionId[];
  /** A service on a random node. */
  readonly service: () => SessionService;
  readonly services: () => readonly SessionService[];
  readonly calls: readonly Call[];
  readonly sleep: (ms: number) => Promise<void>;
  readonly nowMs: () => number;
  readonly newId: (prefix: string) => string;
  readonly draw: (below: number) => number;
  /** By then an owner has heard of what another node committed. */
  readonly hearsMs: number;
  /** How late the store has answered: what was asked of it while it was slow may still be on its way for so long. */
  readonly slowMs: number;
  /** There were requests whose answers may still be on their way. */
  readonly mayLag: boolean;
  /** From now on, the store gives no answer to the next requests of this kind. @returns an end of it */
  readonly deny: (op: string, times: number) => () => void;
  readonly violate: Violate;
}

export async function examine(world: ExamWorld): Promise<void> {
  await examineRest(world);
  await examineRetries(world);
  await Promise.all(
    world.sessions.map(async (sessionId) => {
      const truth = world.store.truthOf(sessionId);
      await Promise.all([examineCursors(world, sessionId, truth), examineTurns(world, sessionId, truth.view)]);
    }),
  );
  await examineLists(world);
  await examineGrants(world);
  await examineNew(world);
  await examineDeletion(world);
}

/** X7. */
async function examineRest(world: ExamWorld): Promise<void> {
  const held = await untilQuiet(world);
  if (held.length > 0) world.violate('R11', `Nodes at rest hold ${held.join()}.`);
}

/** Waits until whatever was asked before a fault had ended has its answer. @returns what is held in the end */
export async function untilQuiet({
  services,
  sleep,
}: Pick<ExamWorld, 'services' | 'sleep'>): Promise<readonly string[]> {
  const held = (): readonly string[] =>
    services()
      .map((service) => service.stats())
      .filter(({ running, live, waitingForSlot }) => running + live + waitingForSlot > 0)
      .map((stats) => JSON.stringify(stats));
  for (let tries = 0; tries < QUIET_TRIES && held().length > 0; tries += 1) await sleep(20);
  return held();
}

interface Begun {
  readonly sessionId: SessionId;
  readonly turnId: TurnId;
  readonly text: string;
  readonly truth: Truth;
}

/** Opens a session and says something in it. */
async function begin({ store, service, newId, violate }: ExamWorld, author: string): Promise<Begun | undefined> {
  const sessionId = newId('s') as SessionId;
  const clientId = (): ClientId => newId('c') as ClientId;
  const opening = { type: 'session-open', sessionId, clientId: clientId(), author, agent: 'patient' } as const;
  const opened = await service().create(opening);
  if (opened.kind !== 'ok') violate('F1', `A session cannot be opened: ${opened.fault.kind}.`);
  if (opened.kind !== 'ok') return undefined;
  const messageId = newId('m') as MessageId;
  const text = `${author} says ${messageId}`;
  const message = { type: 'message', messageId, text, whenBusy: 'queue', clientId: clientId(), author } as const;
  await service().submit(sessionId, message);
  return { sessionId, turnId: turnIdOf(messageId), text, truth: store.truthOf(sessionId) };
}

const stop = ({ service, newId }: ExamWorld, { sessionId, turnId }: Begun): Promise<Receipt> =>
  service().submit(sessionId, {
    type: 'stop',
    turnId,
    queue: 'keep',
    clientId: newId('c') as ClientId,
    author: EXAMINER,
  });

/** X8. */
async function examineNew(world: ExamWorld): Promise<void> {
  const { store, calls, violate, nowMs, sleep, draw, hearsMs, slowMs } = world;
  await sleep(slowMs);
  const begun = await begin(world, EXAMINER);
  if (begun === undefined) return;
  const { sessionId, turnId, text, truth } = begun;
  const isOver = (): boolean =>
    truth.view.turn === null && truth.view.closing === null && truth.view.queue.length === 0;
  const callOf = (): Call | undefined => calls.findLast((other) => other.turnId === turnId);
  // A fault that had just ended may still cost its owner the lease, and an answer that is on its way may do so long after.
  const isUndisturbed = (): boolean => !world.mayLag && truth.ledger.holders.size === 1;
  const patience = draw(2) === 0 ? 200 : draw(20);
  for (let tries = 0; !isOver() && truth.view.turn?.state !== 'parked'; tries += 1) {
    if (tries >= patience && callOf() !== undefined) break;
    await sleep(20);
  }
  const wasStopped = !isOver();
  const call = callOf();
  const stoppedMs = nowMs();
  if (wasStopped) {
    await stop(world, begun);
    await sleep(hearsMs);
    if (isUndisturbed() && call?.end === 'open' && !call.signal.aborted)
      violate('R13', `${sessionId}: ${turnId} was stopped, and ${call.id} is not told.`);
  }
  while (truth.view.turn !== null) await sleep(20);
  const tookMs = nowMs() - stoppedMs;
  while (!isOver()) await sleep(20);
  if (isUndisturbed() && wasStopped && tookMs > (call?.isDeaf === true ? STOP_DEAF_MS : STOP_MS) + TITLE_MS)
    violate('R13', `${sessionId}: ${turnId} was stopped, and went on for ${tookMs} ms.`);
  const { outcome } = truth.ledger.turns.get(turnId) ?? {};
  const { afterMs, title } = titleFor(text);
  const isAsked = outcome === 'completed';
  if (isAsked) await sleep(Math.max(0, afterMs) + 200);
  // A title that fails in time leaves the first words; one that fails too late leaves none.
  const wanted = !isAsked ? text : (title ?? null);
  if (isUndisturbed() && truth.view.title !== wanted)
    violate('E8', `${sessionId} is called "${truth.view.title}" after ${outcome}; it should be "${wanted}".`);
  while (store.isHeld(sessionId, nowMs())) await sleep(20);
  await examineRest(world);
}

/** X1. */
async function examineRetries(world: ExamWorld): Promise<void> {
  const { store, receipts, draw, violate } = world;
  const some = receipts.length <= RETRIES_MAX ? receipts : receipts.filter(() => draw(receipts.length) < RETRIES_MAX);
  // All at once: the sessions' views are made once, not once for each.
  await Promise.all(some.map((receipted) => examineRetry(world, receipted)));
  for (const id of world.sessions)
    if (store.truthOf(id).entries.some((entry) => isCommand(entry) && entry.author === STRANGER))
      violate('R23', `${id}: a client id that was used again added to the log.`);
}

async function examineRetry({ service, violate }: ExamWorld, { sessionId, sent, receipt }: Receipted): Promise<void> {
  const told = `${sessionId}: the retry of ${sent.type} ${sent.clientId}, accepted at ${receipt.seq},`;
  const changed = { ...sent, author: STRANGER } as Command;
  const [again, other] = await Promise.all([service().submit(sessionId, sent), service().submit(sessionId, changed)]);
  if (again.kind !== 'ok') violate('R24', `${told} is refused: ${again.fault.kind}.`);
  else if (again.seq !== receipt.seq || !again.duplicate || !isDeepStrictEqual(again.verdict, receipt.verdict))
    violate('R23', `${told} gets ${JSON.stringify(again)}.`);
  if (other.kind === 'ok' || other.fault.kind !== 'client-id-reused')
    violate('R23', `${told} with other content gets ${other.kind === 'ok' ? 'a receipt' : other.fault.kind}.`);
}

/** X2. */
async function examineCursors(
  { service, draw, violate }: ExamWorld,
  sessionId: SessionId,
  truth: Truth,
): Promise<void> {
  const record = truth.records[draw(truth.records.length)];
  if (record === undefined) return;
  const { seq, tag } = record;
  const cases: readonly (readonly [Cursor | { readonly seq: number }, string | undefined])[] = [
    [{ seq, tag }, undefined],
    [{ seq }, undefined],
    [{ seq: 0, tag: 0 }, undefined],
    [{ seq: truth.head, tag: truth.records.at(-1)?.tag ?? 0 }, undefined],
    [{ seq, tag: tag ^ 1 }, 'cursor-unknown'],
    [{ seq: truth.head + 1, tag }, 'cursor-ahead'],
  ];
  const answers = await Promise.all(cases.map(([cursor]) => service().attach(sessionId, cursor)));
  for (const [index, [cursor, reason]] of cases.entries()) {
    const attached = answers[index] as Awaited<ReturnType<SessionService['attach']>>;
    const told = `${sessionId}: the cursor ${JSON.stringify(cursor)}`;
    if (attached.kind !== 'ok') {
      violate('R55', `${told} is refused: ${attached.fault.kind}.`);
      continue;
    }
    const { snapshot, subscription, resync } = attached;
    if (resync !== reason || (snapshot === undefined) !== (reason === undefined))
      violate('R55', `${told} is answered ${resync ?? 'with its tail'}, not ${reason ?? 'with its tail'}.`);
    if (snapshot !== undefined && (snapshot.cursor.seq !== truth.head || !isDeepStrictEqual(snapshot.view, truth.view)))
      violate('R55', `${told} gets a snapshot at ${snapshot.cursor.seq} of ${truth.head}.`);
    if (snapshot !== undefined && snapshot.cursor.tag !== truth.records.at(-1)?.tag)
      violate('R60', `${told} gets a snapshot whose cursor has another log's tag.`);
    const from = snapshot === undefined ? cursor.seq : truth.head;
    if (from < truth.head) {
      const delivery = await subscription.next();
      if (delivery.kind !== 'records' || delivery.records[0]?.seq !== from + 1)
        violate(
          'R52',
          `${told}: after ${from} comes ${delivery.kind === 'records' ? delivery.records[0]?.seq : delivery.kind}.`,
        );
    }
    subscription.cancel();
  }
}

/** X3. */
async function examineTurns({ service, draw, violate }: ExamWorld, sessionId: SessionId, view: View): Promise<void> {
  const all = [...view.messages, ...view.offPath];
  const told = await Promise.all(view.turns.map((node) => service().turn(sessionId, node.turnId)));
  for (const [index, node] of view.turns.entries()) {
    const found = told[index] as Awaited<ReturnType<SessionService['turn']>>;
    const ids = new Set<string>([...node.messageIds, node.messageId]);
    const messages = all.filter((message) => ids.has(message.id));
    if (
      found.kind !== 'ok' ||
      found.active ||
      found.state !== 'ended' ||
      !isDeepStrictEqual(found.node, node) ||
      !isDeepStrictEqual(found.messages, messages)
    )
      violate('F5', `${sessionId}: ${node.turnId} is told as ${JSON.stringify(found)}.`);
  }
  const last = view.turns.find((node) => node.turnId === view.leaf);
  if (last === undefined || view.earlierTurns > 0) return;
  const wanted = pathOf(view.turns, view.leaf).map((node) => node.turnId);
  const limit = 1 + draw(8);
  const pages: string[] = [];
  let page = await service().messages(sessionId, { around: last.messageId, limit });
  for (let count = 0; count <= wanted.length && page.kind === 'ok'; count += 1) {
    pages.unshift(...page.turns.map(({ node }) => node.turnId));
    if (page.before === null) break;
    page = await service().messages(sessionId, { before: page.before, limit });
  }
  if (!isDeepStrictEqual(pages, wanted))
    violate('F5', `${sessionId}: its pages of ${limit} are ${pages.join()}; its branch is ${wanted.join()}.`);
  const unknown = await service().messages(sessionId, { around: 'm_none' as MessageId, limit });
  if (unknown.kind === 'ok') violate('F5', `${sessionId}: there is a page around a message that is not there.`);
}

/** X4. */
async function examineLists({ store, sessions, service, draw, violate }: ExamWorld): Promise<void> {
  const wanted = new Map(sessions.map((id) => [id, visible(summaryOf(id, store.truthOf(id).view))]));
  const owner = store.truthOf(sessions[0] as SessionId).view.owner ?? '';
  const listed = await service().list({ owner, limit: 100 });
  const found = new Map(listed.sessions.map((summary) => [summary.sessionId, visible(summary)]));
  if (listed.sessions.length !== wanted.size || (!isDeepStrictEqual(found, wanted) && !isSame(found, wanted)))
    violate('F5', `The list is ${JSON.stringify([...found])}; it should be ${JSON.stringify([...wanted])}.`);
  await examineSearch({ store, sessions, service, draw, violate }, owner);
  const others = await service().list({ owner: 'nobody', limit: 100 });
  if (others.sessions.length > 0) violate('F5', 'Somebody else’s list has these sessions.');
  let after = 0;
  const fed: string[] = [];
  for (let count = 0; count <= wanted.size; count += 1) {
    const items = await service().feed({ owner, after, limit: 1 + draw(3) });
    for (const item of items) {
      if (item.rev <= after) violate('F5', `The feed goes from ${after} back to ${item.rev}.`);
      after = item.rev;
      fed.push(item.kind === 'session' ? item.summary.sessionId : '');
    }
  }
  if (!isDeepStrictEqual(fed.toSorted(), sessions.toSorted())) violate('F5', `The feed has ${fed.join()}.`);
  for (const id of sessions) {
    const told = await service().ownerOf(id);
    if (told.kind !== 'ok' || told.owner !== owner) violate('F5', `${id} is not ${owner}'s.`);
  }
}

async function examineSearch(
  { store, sessions, service, draw, violate }: Pick<ExamWorld, 'store' | 'sessions' | 'service' | 'draw' | 'violate'>,
  owner: string,
): Promise<void> {
  const sessionId = sessions[draw(sessions.length)] as SessionId;
  const { messages } = store.truthOf(sessionId).view;
  const text = messages[draw(Math.max(1, messages.length))]?.text ?? '';
  const find = async (words: string): Promise<readonly string[]> =>
    (await service().list({ owner, words, limit: 100 })).sessions.map((summary) => summary.sessionId);
  if (text.trim() !== '' && !(await find(text)).includes(sessionId))
    violate('X4', `${sessionId} is not found by "${text}".`);
  const strangers = await find('unsaid');
  if (strangers.length > 0) violate('X4', `${strangers.join()} are found by what nobody said.`);
}

const isSame = (a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): boolean =>
  a.size === b.size && [...a].every(([key, value]) => isDeepStrictEqual(value, b.get(key)));

function visible({
  state,
  title,
  owner,
  prompts,
  queued,
  pinned,
  readSeq,
  unread,
  lastOutcome,
}: SessionSummary): unknown {
  return { state, title, owner, prompts, queued, pinned, readSeq, unread, lastOutcome };
}

/** X5. */
async function examineGrants(world: ExamWorld): Promise<void> {
  const { store, sessions, service, violate } = world;
  const owner = store.truthOf(sessions[0] as SessionId).view.owner ?? '';
  const given = [...store.truths.values()].some((truth) =>
    [...truth.ledger.prompts.values()].some(
      ({ closedAs, closedAt = Infinity, toolId, answer }) =>
        toolId !== undefined &&
        answer === 'always' &&
        (closedAs === 'answered' || wentOnAt(truth, closedAt) < Infinity),
    ),
  );
  const tools = (await service().grants(owner)).map(({ tool }) => tool);
  // Where its owner died over it, an answer that its turn's end overtook may have been granted or not.
  if (given ? tools.join() !== 'shell' : tools.length > 1)
    violate('R31', `${owner} has granted "${tools.join()}"; given for always: ${given}.`);
  if (tools.includes('shell')) await examineGranted(world, owner);
  const revoked = await service().revokeGrant(owner, 'shell');
  const left = await service().grants(owner);
  if (revoked !== tools.includes('shell') || left.length > 0) violate('R31', `A grant of ${owner} outlives its end.`);
  if (await service().revokeGrant(owner, 'shell')) violate('R31', `A grant of ${owner} is revoked twice.`);
}

async function examineGranted(world: ExamWorld, owner: string): Promise<void> {
  const { calls, sleep, deny, violate } = world;
  const answersAgain = deny('read grants', 2);
  const begun = await begin(world, owner);
  if (begun === undefined) return;
  const callOf = (): Call | undefined => calls.find((call) => call.turnId === begun.turnId);
  while (callOf() === undefined && begun.truth.ledger.turns.get(begun.turnId)?.outcome === undefined) await sleep(20);
  answersAgain();
  if (callOf()?.isGranted === false) violate('R31', `${begun.sessionId} of ${owner} does not have its grant.`);
  await stop(world, begun);
  while (begun.truth.view.turn !== null) await sleep(20);
}

/** X6. */
async function examineDeletion({ store, sessions, receipts, service, violate }: ExamWorld): Promise<void> {
  const sessionId = sessions.at(-1) as SessionId;
  const owner = store.truthOf(sessionId).view.owner ?? '';
  const reading = await service().attach(sessionId, undefined);
  const deleted = await service().delete(sessionId);
  if (deleted.kind !== 'ok') violate('L11', `${sessionId} cannot be deleted: ${deleted.fault.kind}.`);
  if (reading.kind === 'ok' && (await reading.subscription.next()).kind !== 'deleted')
    violate('L11', `A reader of ${sessionId} is not told of its end.`);
  const answers = [
    await service().snapshot(sessionId),
    await service().attach(sessionId, undefined),
    await service().ownerOf(sessionId),
    await service().delete(sessionId),
    ...(receipts[0] === undefined ? [] : [await service().submit(sessionId, receipts[0].sent)]),
  ];
  for (const answer of answers)
    if (answer.kind === 'ok' || answer.fault.kind !== 'session-deleted')
      violate('L11', `${sessionId} is deleted, and answers ${answer.kind === 'ok' ? 'ok' : answer.fault.kind}.`);
  const listed = await service().list({ owner, limit: 100 });
  const others = sessions.filter((id) => id !== sessionId);
  if (!others.every((id) => listed.sessions.some((summary) => summary.sessionId === id)))
    violate('L11', `${sessionId} is deleted, and others with it.`);
  if (listed.sessions.some((summary) => summary.sessionId === sessionId))
    violate('L11', `${sessionId} is deleted, and listed.`);
  const items = await service().feed({ owner, after: 0, limit: 100 });
  if (!items.some((item) => item.kind === 'deleted' && item.sessionId === sessionId))
    violate('L11', `${sessionId} is deleted, and the feed does not say so.`);
}
