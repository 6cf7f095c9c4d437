/**
 * What a model turned out not to take, learned from its refusals and left out of later requests.
 *
 * 1. Each is learned at most once, and only from a request that nothing came of: a refusal costs one more try, never the session.
 * 2. By words: servers have no common code for it. What is not recognised is told to the person as it is.
 * 3. Kept for the life of the agent, for each model.
 */
import type { ServerError } from './server-error.ts';

export type Concession =
  | 'stream-options'
  /** Newer models want `max_completion_tokens`. */
  | 'max-tokens-name'
  | 'max-tokens'
  | 'temperature'
  | 'tools'
  /** Those of earlier turns; one that a person attaches now is always tried. */
  | 'pictures'
  /** What its provider gave to be handed back (`opaque.ts`). */
  | 'state';

export interface Refusal {
  readonly status: number | undefined;
  readonly error: ServerError;
}

/** What the refused request held. */
export type Sent = Readonly<
  Record<'streamOptions' | 'maxTokens' | 'temperature' | 'tools' | 'pictures' | 'state', boolean>
>;

/** Statuses that do not speak of the request's content. */
const NOT_ABOUT_CONTENT = [401, 402, 403, 408, 409, 413, 429];

const TOOLS = /\btools?\b|tool_choice|function.?call/;
const PICTURES = /\bimages?\b|image_url|input_image|picture|vision|multi-?modal|content.{0,20}must be a string/;
const UNTAKEN =
  /support|not allowed|not available|not enabled|unavailable|unknown|unrecogni|unexpected|extra|permitted|forbidden|requires? .*--|does ?n['’o]t have|no endpoints/;

export class Concessions {
  readonly #made = new Set<Concession>();

  has(concession: Concession): boolean {
    return this.#made.has(concession);
  }

  /** @returns what is left out from now on; null if the refusal is about something else. */
  learn(refusal: Refusal, sent: Sent): Concession | null {
    const { status, error } = refusal;
    if (status !== undefined && NOT_ABOUT_CONTENT.includes(status)) return null;
    const words = [error.param, error.code, error.message].join(' ').toLowerCase();
    const learned = this.#read(words, sent, status);
    if (learned !== null) this.#made.add(learned);
    return learned;
  }

  #read(words: string, sent: Sent, status: number | undefined): Concession | null {
    if (sent.streamOptions && /stream_options|include_usage/.test(words)) return 'stream-options';
    if (sent.maxTokens && /max_(?:completion_|new_)?tokens/.test(words))
      return this.has('max-tokens-name') ? 'max-tokens' : 'max-tokens-name';
    if (sent.temperature && /temperature/.test(words)) return 'temperature';
    if (sent.pictures && PICTURES.test(words)) return 'pictures';
    if (sent.tools && TOOLS.test(words) && UNTAKEN.test(words)) return 'tools';
    return sent.state && (status === 400 || status === 422) ? 'state' : null;
  }
}
