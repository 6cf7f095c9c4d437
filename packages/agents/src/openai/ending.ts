/**
 * Whether an answer that has stopped coming is whole, and how it ends the turn. Pure.
 *
 * 1. A known finish reason makes it whole, whatever comes behind it. `[DONE]`, or the end of a JSON document, does too if every
 *    frame was understood.
 * 2. Whatever else ends it, the turn does not end `completed`: unknown is never complete (R84, R85).
 */
import type { RunEnd } from '@holdfast/session';
import { cut } from '@holdfast/protocol/text';
import type { AnswerDraft } from './draft.ts';
import type { FramesEnd } from './events.ts';
import { failure, silent, type Failure, type Where } from './failure.ts';

/** `done`: the server said that this is all. */
export type StreamEnd = FramesEnd | 'done';

/** @returns null if the answer is whole. */
export function faultOf(end: StreamEnd, draft: AnswerDraft, where: Where): Failure | null {
  if (draft.finish !== null) return null;
  switch (end) {
    case 'done':
      return draft.unread === 0
        ? null
        : failure(
            'model-error',
            'The model ended its answer without a reason, and sent what is not understood before.',
          );
    case 'silent':
      return silent(where);
    case 'too-large':
      return malformed(where);
    case 'ended':
    case 'cut':
      return failure(
        'model-cut-off',
        `The model server at ${where.url} ended the connection in mid-answer. What came is kept; ask it to go on.`,
      );
  }
}

/** @returns null if the answer calls tools, so that the turn goes on. */
export function endOfAnswer(draft: AnswerDraft): RunEnd | null {
  switch (draft.finish) {
    case 'limit':
      return { outcome: 'limit', reason: 'The answer reached the model’s limit of output tokens. Ask it to go on.' };
    case 'refused':
      return failure('model-refused', `The model’s content filter ended the answer (${wordOf(draft)}).`);
    case 'error':
      return failure('model-error', `The model ended its answer in mid-way: ${wordOf(draft)}.`);
    case 'complete':
    case 'calls':
    case null:
      break;
  }
  if (draft.calls.length > 0) return null;
  if (draft.finish === 'calls') return failure('model-error', 'The model said that it calls a tool, and named none.');
  return draft.isBlank ? failure('model-empty', emptyReason(draft)) : { outcome: 'completed' };
}

const emptyReason = ({ chars }: AnswerDraft): string =>
  chars > 0 ? 'The model thought, and ended without an answer.' : 'The model ended its answer without a word.';

const wordOf = ({ finishReason }: AnswerDraft): string => cut(finishReason.trim(), 0, 100);

export const malformed = ({ url }: Where): Failure =>
  failure('model-malformed', `What the server at ${url} sent is not Chat Completions. Is HOLDFAST_MODEL_URL right?`);
