/**
 * What the page says about states and faults: what happened, and what helps. Pure, so that a table test reads it whole.
 */
import type { Fault, FaultKind } from '@holdfast/protocol/fault';
import { faultInfo } from '@holdfast/protocol/fault';
import type { Answer, PromptOutcome, TurnOutcome } from '@holdfast/protocol/entry';
import type { ToolState } from '@holdfast/protocol/view';

/** What a person can do about it. Where there is nothing, the fault's own words are all there is. */
const CURES: Partial<Record<FaultKind, string>> = {
  unauthorized: 'Open a start link: run “holdfast token link” where the gateway runs.',
  'auth-refused': 'Open a start link: run “holdfast token link” where the gateway runs.',
  'queue-full': 'Wait until some of the queue is done, or withdraw messages from it.',
  'too-many-btws': 'Wait until one of them is answered, or cancel one.',
  'rate-limited': 'Wait a moment and try again.',
  'body-too-large': 'Send it in smaller pieces, or attach it as a file.',
  'storage-full': 'Free some space where the gateway keeps its data.',
  'storage-unavailable': 'Try again in a moment.',
  'shutting-down': 'Try again when the gateway is back.',
  disconnected: 'Try again when the gateway is reached.',
  'idle-timeout': 'Try again when the gateway is reached.',
  'model-unreachable': 'Check HOLDFAST_MODEL_URL and whether the model’s server runs, then try again.',
  'model-unauthorized': 'Check HOLDFAST_MODEL_KEY.',
  'model-not-found': 'Check HOLDFAST_MODEL: the server does not know this name.',
  'model-rate-limited': 'Wait a little and try again.',
  'model-refused': 'Change the message and try again.',
  'model-error': 'Try again; if it stays, look at the model’s own log.',
  'model-malformed': 'Check that HOLDFAST_MODEL_URL is an OpenAI-compatible address.',
  'model-empty': 'Try again, or ask in other words.',
  'model-cut-off': 'Continue from where it stopped, or try again.',
  'model-silent': 'Try again; a smaller message may help a slow model.',
  'context-overflow': 'Start a new session, or send a shorter message.',
  'agent-crashed': 'Try again; the gateway’s log has the details.',
  shutdown: 'Continue from where it stopped.',
  'owner-lost': 'Continue from where it stopped.',
  'crash-loop': 'It was not tried a fourth time by itself. The gateway’s log has the details.',
};

export const cureOf = (kind: FaultKind): string | undefined => CURES[kind];

/** A few sentences for a notice: what happened, said once, and what helps. */
export function faultText({ kind, detail }: Fault): string {
  const { title } = faultInfo(kind);
  // What a browser says of a lost connection ("TypeError: Failed to fetch") is for its console.
  const more = kind === 'disconnected' ? '' : detail;
  const said = more.startsWith(title) ? [more] : [title, more];
  return [...said, cureOf(kind) ?? ''].filter(Boolean).map(sentence).join(' ');
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

/** What a reason says beyond a title that stands above it. */
export function beyondTitle(title: string, reason: string): string {
  return reason.startsWith(title) ? reason.slice(title.length).replace(/^[.:]?\s*/, '') : reason;
}

export const TOOL_STATES: Readonly<Record<ToolState, string>> = {
  requested: 'waiting to run',
  running: 'running',
  done: 'done',
  failed: 'failed',
  cancelled: 'not run',
  uncertain: 'uncertain',
};

const ANSWERS: Readonly<Record<string, string>> = {
  once: 'Allowed once',
  session: 'Allowed for this session',
  always: 'Always allowed',
  deny: 'Denied',
};
export const CHOICE_LABELS: Readonly<Record<string, string>> = {
  once: 'Allow once',
  session: 'Allow for this session',
  always: 'Always allow',
  deny: 'Deny',
};

/** What is on record of a prompt that is closed. */
export function promptText(kind: 'approval' | 'question', outcome: PromptOutcome, answer?: Answer): string {
  if (outcome === 'expired') return 'Nobody answered in time';
  if (outcome === 'cancelled') return 'Not answered: the turn ended first';
  if (answer === undefined) return 'Answered';
  return kind === 'approval' ? (ANSWERS[answer] ?? answer) : `Answered: ${answer}`;
}

export const OUTCOMES: Readonly<Record<TurnOutcome, string>> = {
  completed: 'Done',
  cancelled: 'Stopped',
  failed: 'Failed',
  interrupted: 'Interrupted',
  limit: 'Stopped at a limit',
};

/** What is said of an end to somebody who does not see it. */
export const ENDINGS: Readonly<Record<TurnOutcome, string>> = {
  completed: 'The answer is finished.',
  cancelled: 'The answer was stopped.',
  failed: 'The answer failed.',
  interrupted: 'The answer was interrupted.',
  limit: 'The answer stopped at a limit.',
};
