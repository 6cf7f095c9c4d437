/**
 * Every way in which a model server can fail, as a typed end of the turn with the cure in its text.
 *
 * 1. Decided by status and by the server's error *code*; the words of a message are passed on. Only "too long" is known by words
 *    too (`overflow.ts`): most servers have no code for it.
 */
import type { FaultKind } from '@holdfast/protocol';
import type { RunEnd } from '@holdfast/session';
import { cut } from '@holdfast/protocol/text';
import { isOverflow } from './overflow.ts';
import type { ServerError } from './server-error.ts';

export type Failure = Extract<RunEnd, { outcome: 'failed' }>;

export interface Where {
  readonly url: string;
  readonly model: string;
}

export const failure = (fault: FaultKind, reason: string, retryAfterMs?: number): Failure => ({
  outcome: 'failed',
  fault,
  reason,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
});

/** A limit that does not pass by waiting. */
const QUOTA = /insufficient_?(?:quota|balance|credits?)|billing|arrearage|exceeded_current_quota/i;

/** What codes and types say if there is no status. In this order. */
const STATUS_OF_CODE: readonly (readonly [RegExp, number])[] = [
  [/throttl|rate.?(?:limit|quota)|too.?many.?requests|resource.?exhausted|^130[25]$/i, 429],
  [/overloaded|unavailable|server.?(?:busy|error)|internal|timeout/i, 503],
  [/api.?key|auth|permission|forbidden|access.?denied/i, 401],
  [/model.?not.?(?:found|exist)|^not.?found/i, 404],
  [/invalid|bad.?request|validation|unsupported|not.?supported|inspection|policy|safety|filter/i, 400],
];

/** The status that an error means: its own, or what its code says. */
export const statusOf = ({ status, code = '', type = '' }: ServerError): number | undefined =>
  status ?? STATUS_OF_CODE.find(([words]) => words.test(code) || words.test(type))?.[1];

export function failureOfStatus(status: number, error: ServerError, where: Where, retryAfterMs?: number): Failure {
  const said = error.message === '' ? '' : ` It said: ${cut(error.message, 0, 500)}`;
  const server = `The model server at ${where.url}`;
  if (isOverflow(status, error)) {
    return failure('context-overflow', `The conversation does not fit the context window of “${where.model}”.${said}`);
  }
  if (status === 402 || QUOTA.test(error.code ?? '') || QUOTA.test(error.type ?? '')) {
    return failure('model-refused', `${server} refuses until its account is topped up.${said}`);
  }
  switch (status) {
    case 401:
    case 403:
      return failure(
        'model-unauthorized',
        `${server} refused the key (${status}). Set HOLDFAST_MODEL_KEY to one that it takes.${said}`,
      );
    case 404:
      return failure(
        'model-not-found',
        `${server} knows no model “${where.model}”, or is no OpenAI-compatible API at this address (404). Check HOLDFAST_MODEL and HOLDFAST_MODEL_URL; \`holdfast doctor\` lists its models.${said}`,
      );
    case 429:
      return failure('model-rate-limited', `${server} is rate limited (429). Try again later.${said}`, retryAfterMs);
    default:
      if (status >= 300 && status < 400) {
        return failure(
          'model-unreachable',
          `${server} redirects (${status}). Set HOLDFAST_MODEL_URL to the address that answers.`,
        );
      }
      if (status >= 500 || status === 408 || status === 409) {
        return failure('model-error', `${server} failed (${status}).${said}`, retryAfterMs);
      }
      return failure('model-refused', `${server} refused the request (${status}).${said}`);
  }
}

/** An error object where an answer was expected: in the stream, or under a 200. */
export function failureOfError(error: ServerError, where: Where): Failure {
  const status = statusOf(error) ?? (isOverflow(400, error) ? 400 : undefined);
  if (status !== undefined) return failureOfStatus(status, error, where);
  const said = error.message === '' ? 'it sent an error without words.' : cut(error.message, 0, 500);
  return failure('model-error', `The model failed: ${said}`);
}

/** Codes of the platform that say that nobody answered in time. */
const SILENT_CODES = ['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'];
/** The server closed a connection that it had taken: it may have been an old one. */
const CLOSED_CODES = ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'];

/** What `fetch` threw before headers. `wasTaken`: a connection existed, so that a second try can find another. */
export function failureOfThrow(
  error: unknown,
  where: Where,
): { readonly failure: Failure; readonly wasTaken: boolean } {
  const code = codeOf(error);
  if (SILENT_CODES.includes(code)) return { failure: silent(where), wasTaken: false };
  const reason = `The model server at ${where.url} cannot be reached (${code || 'no connection'}). Is it running, and is HOLDFAST_MODEL_URL right?`;
  return { failure: failure('model-unreachable', reason), wasTaken: CLOSED_CODES.includes(code) };
}

export const silent = ({ url }: Pick<Where, 'url'>): Failure =>
  failure('model-silent', `The model server at ${url} stopped sending.`);

function codeOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code;
    // Happy Eyeballs: every address failed; the first one tells.
    if (at instanceof AggregateError) return codeOf(at.errors[0]);
  }
  return '';
}

/** `retry-after-ms`, or `retry-after` in seconds or as a date. */
export function retryAfterOf(headers: Headers, nowMs: number): number | undefined {
  const inMs = Number(headers.get('retry-after-ms') ?? Number.NaN);
  if (inMs >= 0) return Math.ceil(inMs);
  const value = headers.get('retry-after');
  if (value === null || value.trim() === '') return undefined;
  const seconds = Number(value);
  if (seconds >= 0) return Math.ceil(seconds * 1000);
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}
