/**
 * Performs `settle`: from the end of a stream to the settled turn, against any server that can say how a run stands and hand
 * out a transcript.
 *
 *   const recovery = startRecovery({ port, token: attachments.attach(sessionId, runId), seenRevision, shown: true, … });
 *   // A terminal event came after all:   recovery.terminal();
 *
 * R1. Nothing is written unless the token is current at that very moment (E6).
 * R2. A transcript is taken only where it holds the run's end and its revision is not below what is shown (E4). A server that
 *     says "ended" before its transcript does counts as `active`, for `LAGS_MAX` answers; then as `missing`.
 * R3. One request and one timer at most, and none after the end.
 */
import { SETTLE_IDLE, settle, type SettleEvent, type SettleState, type SettleStatus } from './settle.ts';
import type { Attachment } from './attachment.ts';
import type { Clock, Random, Timer } from './ports.ts';

export type RunStanding = 'active' | 'ended' | 'missing';

export interface SettledTranscript<T> {
  /** Grows with what the transcript holds; unrelated to the clock. */
  readonly revision: number;
  /** Whether it holds the end of the run. */
  readonly terminal: boolean;
  readonly value: T;
}

/** What it needs of a server. Rejecting means that nobody knows (`error`). */
export interface SettlePort<T> {
  status(signal: AbortSignal): Promise<RunStanding>;
  /** undefined: there is no transcript (yet). */
  snapshot(signal: AbortSignal): Promise<SettledTranscript<T> | undefined>;
}

export interface RecoveryOptions<T> {
  readonly port: SettlePort<T>;
  readonly token: Attachment;
  readonly clock: Clock;
  readonly random: Random;
  /** Live content is on screen. */
  readonly shown: boolean;
  /** Of what is shown now. */
  seenRevision(): number;
  /** Swap what is shown, in place. */
  restore(value: T): void;
  /** The run is nowhere: show it as `interrupted`, with every character that was seen. */
  interrupt(): void;
}

export interface Recovery {
  readonly state: SettleState;
  /** Resolves with how it ended. */
  readonly ended: Promise<Extract<SettleState, { kind: 'ended' }>['how']>;
  /** The real terminal event came, or the stream is back. */
  terminal(): void;
  hint(): void;
}

/** Half a minute, at the machine's pace. */
const LAGS_MAX = 40;

export function startRecovery<T>(options: RecoveryOptions<T>): Recovery {
  const { port, token, clock, random } = options;
  let state: SettleState = SETTLE_IDLE;
  let timer: Timer | undefined;
  let request: AbortController | undefined;
  let lags = 0;
  let tellEnd: (how: Extract<SettleState, { kind: 'ended' }>['how']) => void = () => {};
  const ended = new Promise<Extract<SettleState, { kind: 'ended' }>['how']>((resolve) => (tellEnd = resolve));

  function post(event: SettleEvent): void {
    const next = settle(state, event);
    if (next === state) return;
    timer?.cancel(); // S6
    request?.abort();
    timer = undefined;
    request = undefined;
    state = next;
    if (next.kind === 'waiting') timer = clock.after(next.delayMs, () => post({ kind: 'due' }));
    if (next.kind === 'asking') void ask();
    if (next.kind === 'ended') {
      if (next.how === 'interrupted' && token.isCurrent) options.interrupt();
      tellEnd(next.how);
    }
  }

  async function ask(): Promise<void> {
    const mine = new AbortController();
    request = mine;
    const status = await attempt(mine.signal).catch((): SettleStatus => 'error');
    // R3: who asked no more asks for nothing.
    if (request === mine) post({ kind: 'answered', status, roll: random() });
  }

  async function attempt(signal: AbortSignal): Promise<SettleStatus> {
    const standing = await port.status(signal);
    if (!token.isCurrent) return 'stale';
    if (standing !== 'ended') return standing;
    const transcript = await port.snapshot(signal);
    if (!token.isCurrent) return 'stale'; // R1
    if (signal.aborted) return 'error';
    if (transcript?.terminal === true && transcript.revision >= options.seenRevision()) {
      options.restore(transcript.value);
      return 'restored';
    }
    return ++lags <= LAGS_MAX ? 'active' : 'missing'; // R2
  }

  post({ kind: 'stream-end', shown: options.shown });
  return {
    get state() {
      return state;
    },
    ended,
    terminal: () => post({ kind: 'terminal' }),
    hint: () => post({ kind: 'hint' }),
  };
}
