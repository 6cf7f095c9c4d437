/**
 * A turn as one reads it: what was added, from the start to the end (`api.ts`, `Turn`).
 *
 * T1. Reading is level-triggered: look at the view, say what is new, wait for a change. There is no queue of parts to bound.
 * T2. Who reads keeps the session followed; who stops, by `break` too, does not.
 * T3. A turn that has left the window is asked for: an end is never made up.
 * T4. Refused credentials end the wait (R98), not the turn: with new ones it can be read again.
 */
import { fault, FaultError, type Fault } from '@holdfast/protocol/fault';
import type { ClientId, MessageId, SessionId, TurnId } from '@holdfast/protocol/ids';
import type { Message, TurnNode } from '@holdfast/protocol/view';

import type { Admission, ChangeResult, Refusal, StopOptions, StopResult, Turn, TurnEnd, TurnPart } from './api.ts';
import { held } from './held.ts';
import { loadActions } from './live-part.ts';
import type { SessionModel } from './session-model.ts';
import { locateMessage, locateTurn, type Located } from './turn-place.ts';

/** What a turn needs of its session. */
export interface TurnHost {
  readonly model: SessionModel;
  /** Keeps the session followed. @returns the end of it. */
  retain(): () => void;
  /** What became of a turn that is not in the window. */
  findOld(key: TurnKey, admission: Admission): Promise<Sight | Refusal>;
  stop(options: StopOptions): Promise<StopResult>;
  withdraw(messageId: MessageId): Promise<ChangeResult<'withdrawn'>>;
  readonly closed: Fault | undefined;
  /** Why the gateway takes no message now; until there are new credentials. */
  readonly refusal: Fault | undefined;
}

/** By its id, or by the message that causes it. */
export type TurnKey =
  | { readonly kind: 'turn'; readonly turnId: TurnId }
  | { readonly kind: 'message'; readonly clientId: ClientId; readonly admission: Promise<Admission> };

export type Sight =
  | { readonly kind: 'nothing-yet' }
  | { readonly kind: 'seen'; readonly node: TurnNode; readonly message: Message; readonly settled: boolean }
  | { readonly kind: 'over'; readonly end: TurnEnd };

const NO_TURN = { turnId: undefined };
const NOTHING_YET: Sight = { kind: 'nothing-yet' };

export class TurnReader implements Turn {
  readonly sessionId: SessionId;
  readonly clientId: ClientId | undefined;
  readonly #host: TurnHost;
  readonly #key: TurnKey;
  #done: Promise<TurnEnd> | undefined;

  constructor(host: TurnHost, key: TurnKey) {
    this.#host = host;
    this.#key = key;
    this.sessionId = host.model.id;
    this.clientId = key.kind === 'message' ? key.clientId : undefined;
  }

  get admission(): Promise<Admission> {
    return this.#key.kind === 'message' ? this.#admitted(this.#key.admission) : Promise.resolve({ kind: 'known' });
  }

  get done(): Promise<TurnEnd> {
    this.#done ??= this.#readToEnd();
    return this.#done;
  }

  /** T4. */
  async #admitted(answer: Promise<Admission>): Promise<Admission> {
    let admission: Admission | undefined;
    void answer.then((it) => (admission = it));
    for (;;) {
      const changed = this.#host.model.changed();
      await Promise.resolve();
      const { refusal } = this.#host;
      if (admission !== undefined) return admission;
      if (refusal !== undefined) return { kind: 'unconfirmed', fault: refusal };
      await held(this, Promise.race([answer, changed]));
    }
  }

  async text(): Promise<string> {
    const end = await this.done;
    if (end.kind === 'ended' && end.outcome === 'completed') return end.text;
    throw new FaultError((await loadActions()).faultOfEnd(end));
  }

  async stop(options: Omit<StopOptions, 'turnId'> = {}): Promise<StopResult | ChangeResult<'withdrawn'>> {
    const admission = await this.admission;
    const sight = await this.#look(admission);
    const { turnId } = sight.kind === 'seen' ? sight.node : this.#key.kind === 'turn' ? this.#key : NO_TURN;
    return (await loadActions()).stopTurn(this.#host, turnId, admission, options);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TurnPart, void, void> {
    const release = this.#host.retain(); // T2
    try {
      const { partsSince } = await loadActions();
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
        if (end?.kind === 'lost') this.#done = undefined; // T4
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
    if (admission.kind === 'unconfirmed') return lost(admission.fault);
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
    const found = await this.#host.findOld(this.#key, admission);
    return found.kind === 'fault' ? lost(found.fault) : found;
  }
}

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
