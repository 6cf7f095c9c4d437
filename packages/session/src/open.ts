/**
 * Builds the session service (`service.ts`) from a log, a clock and agents: commands go in by one door (`commands.ts`), the owner
 * does what they ask (`ownership.ts`), and what came of it is shown (`views.ts`, `lists.ts`).
 */
import type { Log } from '@holdfast/log';
import type { SessionId, Subject } from '@holdfast/protocol';
import type { Agent } from './agent.ts';
import { BlobReferences } from './blob-references.ts';
import { Blobs, noBlob } from './blobs.ts';
import { Btws } from './btws.ts';
import { BtwSweep } from './btw-sweep.ts';
import { systemClock, type Clock } from './clock.ts';
import { Commands } from './commands.ts';
import { Grants } from './grants.ts';
import { Lists } from './lists.ts';
import { LiveSessions } from './live.ts';
import type { OwnerPorts } from './owner.ts';
import { Ownership } from './ownership.ts';
import type { SessionService } from './service.ts';
import { Views } from './views.ts';

export interface SessionServiceOptions {
  readonly log: Log;
  readonly agents: readonly Agent[];
  /** The agent of sessions that name none. Default: the first. */
  readonly defaultAgent?: string;
  readonly clock?: Clock;
  /** Text that was never used before; names holders. */
  readonly randomId: () => string;
  readonly queueMax?: number;
  readonly turnsMax?: number;
  readonly leaseMs?: number;
  readonly sweepMs?: number;
  /** Default: each subject may. */
  readonly mayApprove?: OwnerPorts['mayApprove'];
  readonly onError?: (error: unknown) => void;
}

const QUEUE_MAX = 1_000;
const TURNS_MAX = 256;
const LEASE_MS = 10_000;
const SWEEP_MS = 500;

export async function openSessionService(options: SessionServiceOptions): Promise<SessionService> {
  const { log, clock = systemClock, randomId, mayApprove = () => true, onError = () => undefined } = options;
  const [first] = options.agents;
  if (first === undefined) throw new Error('A session service needs at least one agent.');
  const agents = new Map(options.agents.map((agent) => [agent.name, agent]));
  const lives = new LiveSessions(log, clock, (sessionId) => ownership.wake(sessionId));
  const views = new Views(log, lives);
  const lists = new Lists(log);
  const grants = new Grants(log);
  const blobs = new Blobs(log);
  const references = new BlobReferences(log, blobs);
  const ownership = new Ownership({
    log,
    clock,
    lives,
    ports: {
      log,
      clock,
      agents,
      defaultAgent: options.defaultAgent ?? first.name,
      grants,
      mayApprove,
      blobs,
      references,
      onError,
    },
    newHolderId: randomId,
    leaseMs: options.leaseMs ?? LEASE_MS,
    sweepMs: options.sweepMs ?? SWEEP_MS,
    turnsMax: options.turnsMax ?? TURNS_MAX,
    onError,
  });
  const btws = new Btws({
    log,
    clock,
    agents,
    defaultAgent: options.defaultAgent ?? first.name,
    blobs,
    randomId,
    holderId: () => ownership.holderId,
    snapshot: (sessionId) => views.snapshot(sessionId),
    submit: (sessionId, command) => commands.submit(sessionId, command),
    onError,
  });
  const btwSweep = new BtwSweep({
    log,
    clock,
    sweepDrafts: () => references.sweep(),
    holderId: () => ownership.holderId,
    onError,
  });
  const commands = new Commands({
    log,
    clock,
    lives,
    views,
    lists,
    blobs,
    references,
    onError,
    queueMax: options.queueMax ?? QUEUE_MAX,
    wake: (sessionId) => ownership.wake(sessionId),
  });
  const ownerIfKnown = async (sessionId: SessionId): Promise<Subject | undefined> => {
    const found = await lists.ownerOf(sessionId);
    return found.kind === 'ok' ? found.owner : undefined;
  };
  await ownership.start();
  btwSweep.start();
  return {
    agents,
    btws,
    create: (open) => commands.create(open),
    import: (open, entries) => commands.import(open, entries),
    submit: (sessionId, command) => commands.submit(sessionId, command),
    delete: async (sessionId) => {
      const deleted = await commands.delete(sessionId);
      await btws.erase(sessionId);
      return deleted;
    },
    snapshot: (sessionId) => views.snapshot(sessionId),
    attach: (sessionId, after) => views.attach(sessionId, after),
    turn: (sessionId, turnId) => views.turn(sessionId, turnId),
    messages: (sessionId, page) => views.messages(sessionId, page),
    ownerOf: (sessionId) => lists.ownerOf(sessionId),
    list: (query) => lists.list(query),
    feed: (query) => lists.feed(query),
    feedRevision: () => lists.feedRevision(),
    watchFeed: (onChange) => lists.watchFeed(onChange),
    grants: (owner) => grants.list(owner),
    revokeGrant: (owner, tool) => grants.revoke(owner, tool),
    putBlob: (owner, mediaType, chunks) => blobs.put(mediaType, chunks, (hash) => references.draft(owner, hash)),
    getBlob: async (hash, reader) =>
      reader === undefined || (await references.mayRead(reader, hash, ownerIfKnown))
        ? blobs.get(hash)
        : { kind: 'fault' as const, fault: noBlob(hash) },
    stats: () => ({
      running: ownership.running,
      live: lives.size,
      waitingForSlot: ownership.waiting,
      btws: btws.running,
    }),
    drain: async (budgetMs) => {
      commands.shut();
      await Promise.all([ownership.drain(budgetMs), btws.drain(budgetMs)]);
    },
    close: async () => {
      commands.close();
      btwSweep.close();
      await btws.close();
      await ownership.close();
      lives.close();
    },
  };
}
