/**
 * Sends one streamed completion, once.
 *
 * 1. A stop ends it at once.
 * 2. A failure says whether asking again may help: after a rate limit (`rate`), after an error of the server's or a connection that
 *    it closed unanswered (`once`).
 */
import type { RunContext } from '@holdfast/session';
import { headersOf, type OpenAiSettings } from './config.ts';
import type { Refusal } from './concessions.ts';
import { parseJson, readText } from './events.ts';
import { failureOfStatus, failureOfThrow, retryAfterOf, silent, type Failure, type Where } from './failure.ts';
import { parseServerError, type ServerError } from './server-error.ts';
import { Watch } from './watch.ts';

export interface Refused {
  readonly kind: 'failed';
  readonly failure: Failure;
  readonly refusal?: Refusal;
  readonly again?: 'rate' | 'once';
}

export type Opened =
  /** Its reader calls `close`, always: that releases the connection. */
  { readonly kind: 'open'; readonly response: Response; close(): void } | Refused | { readonly kind: 'stopped' };

export type Ports = Pick<RunContext, 'signal' | 'clock'>;

const ERROR_BYTES_MAX = 64 * 1024;

export async function openCompletion(
  body: object,
  settings: OpenAiSettings,
  where: Where,
  ports: Ports,
): Promise<Opened> {
  const { signal, clock } = ports;
  const own = new AbortController();
  const watch = new Watch(ports, settings.firstByteTimeoutMs, () => own.abort());
  watch.arm();
  try {
    const response = await fetch(settings.endpoints.chat, {
      method: 'POST',
      headers: headersOf(settings),
      body: JSON.stringify(body),
      // A redirected POST would become a GET, and its key would travel.
      redirect: 'manual',
      signal: AbortSignal.any([signal, own.signal]),
    });
    if (response.ok) return { kind: 'open', response, close: () => own.abort() };
    // The body of an error is short: its silence is not the model's thinking.
    watch.retime(settings.idleTimeoutMs);
    const error = parseErrorBody(await readText(response, ERROR_BYTES_MAX));
    const { status, headers } = response;
    return refused(failureOfStatus(status, error, where, retryAfterOf(headers, clock.now())), { status, error });
  } catch (error) {
    if (signal.aborted) return { kind: 'stopped' };
    if (watch.isSilent) return { kind: 'failed', failure: silent(where) };
    const { failure, wasTaken } = failureOfThrow(error, where);
    return { kind: 'failed', failure, ...(wasTaken ? { again: 'once' } : {}) };
  } finally {
    watch.stop();
  }
}

/** An error without a status is the model's own: the same request would meet it again. */
export function refused(failure: Failure, refusal: Refusal): Refused {
  if (failure.fault === 'model-rate-limited') return { kind: 'failed', failure, refusal, again: 'rate' };
  const isPassing = failure.fault === 'model-error' && refusal.status !== undefined;
  return { kind: 'failed', failure, refusal, ...(isPassing ? { again: 'once' } : {}) };
}

function parseErrorBody(text = ''): ServerError {
  const body = parseJson(text);
  // A page of HTML says nothing to a person here.
  return body === undefined ? { message: text.trimStart().startsWith('<') ? '' : text.trim() } : parseServerError(body);
}
