/**
 * Keeps what is shown of a session going while no stream reads: `recovery.ts` against a gateway, for one turn after the other.
 *
 * Stages: the stream is lost → a recovery of the turn that runs, or of the queue → what it brought is shown → the next one, as
 * long as no stream reads and a turn runs or a message waits (R110).
 *
 * 1. No stream reads from its end, or from `CONNECTING_MS` after a connection was begun, until it passes frames again: its
 *    greeting or news. A 200 alone proves nothing.
 * 2. There is one recovery at most, and each has an attachment of its own (E6). News from the stream ends it.
 * 3. All recoveries of a client have one pace (`recovery-pace.ts`). A gateway that says goodbye with `retryAfterMs` is not
 *    asked before that.
 * 4. A recovery that gave up (`interrupted`, `failed`) is not begun again for the same turn before a stream has read.
 * 5. A recovery does not hold its session: a client that was dropped is collected, and then it ends (B7).
 */
import { FaultError } from '@holdfast/protocol/fault';
import type { TurnId } from '@holdfast/protocol/ids';
import type { SnapshotFrame } from '@holdfast/protocol/sse';
import type { SessionSummary } from '@holdfast/protocol/summary';
import type { Part, View } from '@holdfast/protocol/view';

import { Attachments, type Attachment } from './attachment.ts';
import type { StreamState } from './event-stream.ts';
import type { Ports, Timer } from './ports.ts';
import { RecoveryPace } from './recovery-pace.ts';
import { startRecovery, type Recovery, type RunStanding, type SettlePort, type SettledTranscript } from './recovery.ts';
import type { Requests } from './requests.ts';
import type { LiveSessionList } from './session-list.ts';
import type { SessionModel } from './session-model.ts';
import { weakly } from './weakly.ts';

const CONNECTING_MS = 1_000;

type Snapshot = Pick<SnapshotFrame, 'view' | 'cursor'> & { readonly session?: SessionSummary };

/** The turn that is recovered; null: whatever becomes of the queue. */
type Subject = TurnId | null;

export interface RecoveriesOptions {
  readonly requests: Requests;
  readonly ports: Ports;
  /** Its rows are as new as what is restored (E5). */
  readonly list: Pick<LiveSessionList, 'learn'>;
  onError(error: unknown): void;
}

export type Recoveries = (model: SessionModel) => SessionRecovery;

/** For the sessions of one client (rule 3). */
export function openRecoveries(options: RecoveriesOptions): Recoveries {
  const shared = { ...options, attachments: new Attachments(), pace: new RecoveryPace(options.ports.clock) };
  return (model) => new SessionRecovery({ ...shared, model });
}

interface SessionRecoveryOptions extends RecoveriesOptions {
  readonly model: SessionModel;
  readonly attachments: Attachments;
  readonly pace: RecoveryPace;
}

export class SessionRecovery {
  readonly #options: SessionRecoveryOptions;
  #stream: 'reads' | 'lost' | { readonly connecting: Timer } = 'reads';
  #recovery: Recovery | undefined;
  /** Rule 4. */
  #gaveUpOn: Subject | undefined;

  constructor(options: SessionRecoveryOptions) {
    this.#options = options;
  }

  get state(): string {
    return this.#recovery?.state.kind ?? 'none';
  }

  streamState(state: StreamState): void {
    switch (state.kind) {
      case 'connecting':
        if (this.#stream === 'reads') this.#stream = { connecting: this.#after(CONNECTING_MS) };
        return;
      case 'waiting':
        this.#heed(state.fault.kind === 'shutting-down' ? state.fault.retryAfterMs : undefined);
        return this.#lost();
      case 'idle':
        return state.fault === undefined ? this.reads() : this.#lost();
      case 'reading':
      case 'closed':
    }
  }

  /** The stream passes frames: it owns the view. */
  reads(): void {
    this.#setStream('reads');
    this.#gaveUpOn = undefined;
    this.#recovery?.terminal();
    this.#recovery = undefined;
  }

  /** There may be something to recover now: a message was accepted. */
  look(): void {
    if (this.#stream !== 'lost' || this.#recovery !== undefined) return;
    const subject = subjectOf(this.#options.model);
    if (subject !== undefined && subject !== this.#gaveUpOn) this.#recover(subject);
  }

  hint(): void {
    this.#recovery?.hint();
  }

  #lost(): void {
    this.#setStream('lost');
    this.look();
  }

  #setStream(next: 'reads' | 'lost'): void {
    if (typeof this.#stream === 'object') this.#stream.connecting.cancel();
    this.#stream = next;
  }

  #after(ms: number): Timer {
    const ifHeld = weakly<SessionRecovery>(this);
    return this.#options.ports.clock.after(ms, () => ifHeld((it) => it.#lost()));
  }

  /** Rule 3. */
  #heed(adviceMs: number | undefined): void {
    if (adviceMs !== undefined) this.#options.pace.failed(this.#options.ports.random(), adviceMs);
  }

  #recover(subject: Subject): void {
    const { model, attachments, ports, pace } = this.#options;
    const ifHeld = weakly<SessionRecovery>(this); // Rule 5.
    const recovery = startRecovery<Snapshot>({
      port: this.#port(subject),
      token: whileHeld(attachments.attach(model.id, subject), new WeakRef(this)),
      clock: ports.clock,
      random: ports.random,
      pace,
      shown: subject !== null && hasShown(model.view, subject),
      seenRevision() {
        let seq = 0;
        ifHeld((it) => (seq = it.#options.model.view.seq));
        return seq;
      },
      restore: (snapshot) => ifHeld((it) => it.#restore(snapshot)),
      interrupt: () =>
        ifHeld((it) => {
          if (subject !== null) it.#options.model.interrupt(subject);
        }),
    });
    this.#recovery = recovery;
    void recovery.ended.then(() => ifHeld((it) => it.#ended(recovery, subject)));
  }

  #restore(snapshot: Snapshot): void {
    this.#options.model.snapshot(snapshot);
    if (snapshot.session !== undefined) this.#options.list.learn(snapshot.session);
  }

  #ended(recovery: Recovery, subject: Subject): void {
    if (this.#recovery !== recovery) return;
    this.#recovery = undefined;
    const { how } = recovery.state as Extract<Recovery['state'], { kind: 'ended' }>;
    if (how === 'failed') this.#options.onError(recovery.problem?.error);
    if (how !== 'restored') this.#gaveUpOn = subject;
    this.look();
  }

  #port(subject: Subject): SettlePort<Snapshot> {
    const { model, requests } = this.#options;
    const path = `/v1/sessions/${model.id}`;
    return subject === null ? portOfQueue(requests, path, model.view.seq) : portOfTurn(requests, path, subject);
  }
}

/** What has to be recovered, if anything (R110). */
function subjectOf(model: SessionModel): Subject | undefined {
  const { turn, queue } = model.view;
  if (turn !== null) return turn.turnId;
  return queue.length > 0 || model.awaitsAccepted ? null : undefined;
}

/** Whether the agent has shown something in this turn; the person's own message does not count (R109). */
export function hasShown({ messages, prompts }: Pick<View, 'messages' | 'prompts'>, turnId: TurnId): boolean {
  const answers = messages.filter((message) => message.turnId === turnId && message.role === 'assistant');
  return (
    answers.some(({ text, parts }) => text !== '' || parts.some(isShown)) ||
    prompts.some((prompt) => prompt.turnId === turnId)
  );
}

function isShown(part: Part): boolean {
  if (part.type === 'text' || part.type === 'thinking') return part.text !== '';
  return part.type === 'tool' || part.type === 'prompt';
}

/** Rule 5. */
function whileHeld(token: Attachment, ref: WeakRef<SessionRecovery>): Attachment {
  const { sessionId, runId, attempt } = token;
  return {
    sessionId,
    runId,
    attempt,
    get isCurrent() {
      return token.isCurrent && ref.deref() !== undefined;
    },
  };
}

function portOfTurn(requests: Requests, path: string, turnId: TurnId): SettlePort<Snapshot> {
  return {
    status: async () => {
      const answer = await requests.once('GET', `${path}/turns/${turnId}`);
      if (answer.kind === 'ok') return (answer.body as { terminal: boolean }).terminal ? 'ended' : 'active';
      if (answer.fault.kind === 'turn-not-found') return 'missing';
      throw new FaultError(answer.fault);
    },
    snapshot: async () => {
      const value = await readSession(requests, path);
      return { revision: value.view.seq, terminal: value.view.turn?.turnId !== turnId, value };
    },
  };
}

/** No turn runs yet: the first news of the session is what is waited for. */
function portOfQueue(requests: Requests, path: string, seenSeq: number): SettlePort<Snapshot> {
  let transcript: SettledTranscript<Snapshot> | undefined;
  return {
    async status(): Promise<RunStanding> {
      const value = await readSession(requests, path);
      transcript = { revision: value.view.seq, terminal: true, value };
      return value.view.seq > seenSeq ? 'ended' : 'active';
    },
    snapshot: async () => transcript,
  };
}

async function readSession(requests: Requests, path: string): Promise<Snapshot> {
  const answer = await requests.once('GET', path);
  if (answer.kind === 'fault') throw new FaultError(answer.fault);
  return answer.body as Snapshot;
}
