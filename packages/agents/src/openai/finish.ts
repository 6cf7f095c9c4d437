/**
 * How an answer ended, judged by the value of its finish reason. Pure.
 *
 * 1. A reason that this table does not know ends the turn `failed`, with the word shown: unknown is never complete.
 * 2. Servers spell the same reason in many ways; case, blanks and hyphens do not count.
 */
export type Finish = 'complete' | 'calls' | 'limit' | 'refused' | 'error';

const FINISHES: Readonly<Record<Finish, readonly string[]>> = {
  complete: [
    'stop',
    'end_turn',
    'eos',
    'eos_token',
    'stop_sequence',
    'complete',
    'completed',
    'done',
    'finished',
    'end',
  ],
  calls: ['tool_calls', 'tool_call', 'tool_use', 'function_call', 'function_calls'],
  limit: [
    'length',
    'max_tokens',
    'max_output_tokens',
    'max_length',
    'model_length',
    'token_limit',
    'context_length',
    'model_context_window_exceeded',
  ],
  refused: [
    'content_filter',
    'content_filtered',
    'sensitive',
    'safety',
    'image_safety',
    'refusal',
    'refused',
    'recitation',
    'blocklist',
    'prohibited_content',
    'spii',
    'guardrail_intervened',
    'guardrails',
    'moderation',
    'risk',
  ],
  error: [],
};

/** What servers send while an answer goes on. */
const NONE = ['', 'null', 'none', 'undefined', 'finish_reason_unspecified', 'unspecified'];

const BY_WORD = new Map(
  Object.entries(FINISHES).flatMap(([finish, words]) => words.map((word) => [word, finish as Finish])),
);

const normal = (reason: string): string =>
  reason
    .trim()
    .toLowerCase()
    .replaceAll(/[\s-]+/g, '_');

/** @returns null while the answer goes on. */
export function finishOf(reason: string | null | undefined): Finish | null {
  const word = normal(reason ?? '');
  if (NONE.includes(word)) return null;
  return BY_WORD.get(word) ?? 'error';
}
