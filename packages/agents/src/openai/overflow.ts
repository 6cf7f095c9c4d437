/** "The conversation is too long", in the codes and the words of the servers that are about. */
import type { ServerError } from './server-error.ts';

const CODES = /context_?length|context_?size|context_?window|prompt_?too_?long|string_above_max_length/i;

/** Of a refusal alone: an answer or another error may speak of these too. */
const WORDS: readonly RegExp[] = [
  // OpenAI, vLLM, Mistral, Groq, xAI
  /maximum (?:context|model|prompt|input) length/i,
  /max(?:imum)?_?\s?(?:model_len|context)/i,
  /reduce (?:the )?length of (?:the |your )?(?:messages|prompt|input)/i,
  // Anthropic and its resellers
  /(?:prompt|input|request|conversation|messages?) (?:is|are) too (?:long|large)/i,
  /exceeds? (?:the |your |this )?(?:model['’]?s )?(?:available |maximum )?(?:context|token limit|input limit|number of tokens)/i,
  // LM Studio, llama.cpp, Ollama
  /context (?:the )?overflows|context (?:length|size|window) (?:of|exceeded)|(?:reached|exceeds?d?) (?:the )?(?:available )?context/i,
  /larger than the context|greater than the context|context window (?:is )?full/i,
  // Google, Cohere, TGI, DashScope, Zhipu
  /input token count|too many (?:input )?tokens|tokens? .{0,40}must be <=|range of input length|prompt 超长|prompt contains \d+ tokens/i,
];

/** 413 is the same word from a proxy or from a limit on tokens a minute: less may go through. */
export function isOverflow(status: number, { code = '', type = '', message }: ServerError): boolean {
  if (CODES.test(code) || CODES.test(type) || status === 413) return true;
  return (
    status >= 400 && status !== 401 && status !== 403 && status !== 429 && WORDS.some((words) => words.test(message))
  );
}
