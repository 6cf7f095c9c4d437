/**
 * What fits the model's context window.
 *
 * 1. Tokens are estimated, a little high: a token for every 4 bytes of UTF-8 (English 4 characters, Chinese 1.3), 10 % more
 *    for what tokenizers do otherwise, 4 for each message, 1,000 for each image.
 * 2. The oldest turns go first, whole turns only: half a turn would leave calls without results.
 * 3. What this turn is about never goes.
 */
import type { ModelMessage } from './wire.ts';

export interface Window {
  /** In tokens, of conversation and answer together. */
  readonly contextWindow: number;
  readonly maxTokens: number | undefined;
}

const BYTES_PER_TOKEN = 4;
const MARGIN = 1.1;
const MESSAGE_TOKENS = 4;
const IMAGE_TOKENS = 1_000;

export function estimateTokens(messages: readonly ModelMessage[]): number {
  return messages.reduce((sum, message) => sum + estimateMessage(message), 0);
}

export const estimateText = (text: string): number => Math.ceil((Buffer.byteLength(text) / BYTES_PER_TOKEN) * MARGIN);

function estimateMessage(message: ModelMessage): number {
  const { content } = message;
  let tokens = MESSAGE_TOKENS;
  if (typeof content === 'string') tokens += estimateText(content);
  else for (const part of content ?? []) tokens += part.type === 'text' ? estimateText(part.text) : IMAGE_TOKENS;
  if (message.role === 'assistant' && message.tool_calls !== undefined) {
    tokens += estimateText(JSON.stringify(message.tool_calls));
  }
  if (message.role === 'assistant' && message.opaque !== undefined) {
    tokens += estimateText(JSON.stringify(message.opaque.state));
  }
  return tokens;
}

/** What is left for the conversation: the window without room for an answer (a quarter, at most 4,096, where nothing is set). */
export const inputBudget = ({ contextWindow, maxTokens }: Window): number =>
  contextWindow - Math.min(maxTokens ?? 4_096, Math.floor(contextWindow / 4));

export type Fit =
  | { readonly kind: 'fits'; readonly dropped: number }
  | { readonly kind: 'too-large'; readonly tokens: number };

/**
 * @param fixed tokens of what always goes along: system prompt, tools, this turn.
 * @param turns tokens of each earlier turn, oldest first.
 */
export function fit(fixed: number, turns: readonly number[], budget: number): Fit {
  if (fixed > budget) return { kind: 'too-large', tokens: fixed };
  let left = budget - fixed;
  for (let index = turns.length - 1; index >= 0; index -= 1) {
    left -= turns[index] ?? 0;
    if (left < 0) return { kind: 'fits', dropped: index + 1 };
  }
  return { kind: 'fits', dropped: 0 };
}
