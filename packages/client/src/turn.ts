/**
 * A turn as one reads it: what was added, from the start to the end (`api.ts`, `Turn`).
 *
 * T1. Reading is level-triggered: look at the view, say what is new, wait for a change. There is no queue of parts to bound.
 * T2. Who reads keeps the session followed; who stops, by `break` too, does not.
 * T3. A turn that has left the window is asked for: an end is never made up.
 */
import { fault, FaultError, type Fault } from '@holdfast/protocol/fault';
import { answerIdOf, type ClientId, type MessageId, type SessionId, type TurnId } from '@holdfast/protocol/ids';
import type { Message, TurnNode } from '@holdfast/protocol/view';

import type { Admission, ChangeResult, StopOptions, StopResult, Turn, TurnEnd, TurnPart } from './api.ts';
import { held } from './held.ts';
import type { HistoryTurn } from './history.ts';
import type { SessionModel } from './session-model.ts';
import { locateMessage, locateTurn, partsSince, type Located } from './turn-parts.ts';

/** What a turn needs of its session. */
export interface TurnHost {
  readonly model: SessionModel;
  /** Keeps the session followed. @returns the end of it. */
  retain(): () => void;
  /** The turn of a message that has left the window; undefined: there is none. */
  findOld(messageId: MessageId): Promise<HistoryTurn | undefined | Fault>;
  stop(options: StopOptions): Promise<StopResult>;
  withdraw(messageId: MessageId): Promise<ChangeResult<'withdrawn'>>;
  readonly closed: Fault | undefined;
}

/** By its id, or by the message that causes it. */
export type TurnKey =
  | { readonly kind: 'turn'; readonly turnId: TurnId }
  | { readonly kind: 'message'; readonly clientId: ClientId; readonly admission: Promise<Admission> };

type Sight =
  | { readonly kind: 'nothing-yet' }
  | { readonly kind: 'seen'; readonly node: TurnNode; readonly message: Message; readonly settled: boolean }
  | { readonly kind: 'over'; readonly end: TurnEnd };

const NO_TURN = { turnId: undefined };
const NOTHING_YET: Sight = { kind: 'nothing-yet' };

export class TurnReader implements Turn {
  readonly sessionId: SessionId;
  readonly clientId: ClientId | undefined;
  readonly admission: Promise<Admission>;
  readonly #host: TurnHost;
  readonly #key: TurnKey;
  #done: Promise<TurnEnd> | undefined;

  constructor(host: TurnHost, key: TurnKey) {
    this.#host = host;
    this.#key = key;
    this.sessionId = host.model.id;
    this.clientId = key.kind === 'message' ? key.clientId : undefined;
    this.admission = key.kind === 'message' ? key.admission : Promise.resolve({ kind: 'known' });
  }

  get done(): Promise<TurnEnd> {
    this.#done ??= this.#readToEnd();
    return this.#done;
  }

  async text(): Promise<string> {
    const end = await this.done;
    if (end.kind === 'ended' && end.outcome === 'completed') return end.text;
    throw new FaultError(faultOfEnd(end));
  }

  async stop(options: Omit<StopOptions, 'turnId'> = {}): Promise<StopResult | ChangeResult<'withdrawn'>> {
    const admission = await this.admission;
    const sight = await this.#look(admission);
    let { turnId } = sight.kind === 'seen' ? sight.node : this.#key.kind === 'turn' ? this.#key : NO_TURN;
    if (turnId === undefined && admission.kind === 'accepted') {
      const withdrawn = await this.#host.withdraw(admission.messageId);
      if (withdrawn.kind !== 'started') return withdrawn;
      turnId = withdrawn.turnId ?? admission.turnId;
    }
    return turnId === undefined ? { kind: 'not-found' } : this.#host.stop({ ...options, turnId });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TurnPart, void, void> {
    const release = this.#host.retain(); // T2
    try {
      const admission = await this.admission;
      let started = false;
      let seen: Message['parts'] = [];
      for (;;) {
        const changed = this.#host.model.changed();
        const sight = await this.#look(admission);
        if (sight.kind === 'seen') {
          if (!started) yield { type: 'start', turnId: sight.node.turnId, messageId: sight.message.id };
          started = true;
          const since = partsSince(seen, sight.message);
          seen = since.seen;
          yield* since.added;
        }
        const end = endOf(sight);
        if (end?.kind === 'lost' || end?.kind === 'refused') throw new FaultError(end.fault);
        if (end !== undefined) return yield { type: 'end', end };
        await held(this, changed); // T1
      }
    } finally {
      release();
    }
  }

  async #readToEnd(): Promise<TurnEnd> {
    const release = this.#host.retain();
    try {
      const admission = await this.admission;
      for (;;) {
        const changed = this.#host.model.changed();
        const end = endOf(await this.#look(admission));
        if (end !== undefined) return end;
        await held(this, changed);
      }
    } finally {
      release();
    }
  }

  async #look(admission: Admission): Promise<Sight> {
    const { model, closed } = this.#host;
    if (admission.kind === 'refused' || admission.kind === 'discarded') return { kind: 'over', end: admission };
    if (admission.kind === 'unconfirmed') return lost(UNCONFIRMED);
    if (model.status === 'missing' || model.status === 'deleted') {
      const kind = model.status === 'deleted' ? 'session-deleted' : 'session-not-found';
      return lost(fault(kind, `Session ${model.id} is ${model.status}.`));
    }
    const { view } = model;
    const ready = model.status === 'ready' && (admission.kind !== 'accepted' || view.seq >= admission.seq);
    const located: Located = ready ? this.#locate(admission) : { kind: 'waiting' };
    if (located.kind === 'there') {
      const { node, message } = located;
      // What it used comes in the entry right after its end.
      const settled = node.outcome !== null && view.seq > node.revision;
      if (settled || closed === undefined) return { kind: 'seen', node, message, settled };
    }
    if (closed !== undefined) return lost(closed);
    return located.kind === 'absent' ? this.#findOld(admission) : NOTHING_YET;
  }

  #locate(admission: Admission): Located {
    const { view } = this.#host.model;
    if (this.#key.kind === 'turn') return locateTurn(view, this.#key.turnId);
    return admission.kind === 'accepted' ? locateMessage(view, admission.messageId) : { kind: 'absent' };
  }

  /** T3. */
  async #findOld(admission: Admission): Promise<Sight> {
    const key = this.#key;
    const messageId =
      key.kind === 'turn'
        ? answerIdOf(key.turnId)
        : admission.kind === 'accepted'
          ? admission.turnId === undefined
            ? admission.messageId
            : answerIdOf(admission.turnId)
          : undefined;
    const found = messageId === undefined ? undefined : await this.#host.findOld(messageId);
    if (found === undefined) {
      if (key.kind === 'message') return { kind: 'over', end: { kind: 'withdrawn' } };
      return lost(fault('turn-not-found', `Session ${this.sessionId} has no turn ${key.turnId}.`));
    }
    if ('kind' in found) return lost(found);
    const message = found.messages.find(({ id }) => id === found.turn.messageId);
    if (message === undefined || found.turn.outcome === null) return NOTHING_YET;
    return { kind: 'seen', node: found.turn, message, settled: true };
  }
}

const UNCONFIRMED = fault('cancelled', 'The client was closed before the message arrived. The outbox keeps it.');

const lost = (why: Fault): Sight => ({ kind: 'over', end: { kind: 'lost', fault: why } });

function endOf(sight: Sight): TurnEnd | undefined {
  if (sight.kind === 'over') return sight.end;
  if (sight.kind !== 'seen' || !sight.settled) return undefined;
  const { message, node } = sight;
  const { turnId, outcome } = node;
  if (outcome === null) return undefined;
  const { text, reason, usage } = message;
  return {
    kind: 'ended',
    turnId,
    outcome,
    text,
    message,
    ...(reason === undefined ? {} : { reason }),
    ...(message.fault === undefined ? {} : { fault: fault(message.fault, reason ?? `The turn ${outcome}.`) }),
    ...(usage === undefined ? {} : { usage }),
  };
}

/** Why there is no whole answer. */
function faultOfEnd(end: TurnEnd): Fault {
  switch (end.kind) {
    case 'lost':
    case 'refused':
      return end.fault;
    case 'withdrawn':
    case 'discarded':
      return fault('cancelled', `The message was ${end.kind} before its turn began.`);
    case 'ended': {
      const { outcome, text, reason } = end;
      const kind = end.fault?.kind ?? (outcome === 'failed' ? 'agent-crashed' : 'cancelled');
      return fault(kind, reason ?? `The turn ended as ${outcome}.`, { facts: { outcome, text } });
    }
  }
}
