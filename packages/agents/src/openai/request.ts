/**
 * Opens one streamed completion: sends the request, and again where that may help.
 *
 * 1. Only a request that nothing has come of is sent again: no output is ever doubled.
 * 2. 429: after the server's own advice, or 1, 2, 4 s; at most `RATE_TRIES_MAX` times, and never longer than `retryWaitMsMax`, above
 *    which the turn ends with the advice. Each wait is told to the reader as a notice.
 * 3. 5xx and a connection that the server closed unanswered: once.
 * 4. A stop ends it at once, in the request or in the wait.
 */
import type { AgentEvent, RunContext } from '@holdfast/session';
import { headersOf, type OpenAiSettings } from './config.ts';
import { readText } from './events.ts';
import { failureOfStatus, failureOfThrow, retryAfterOf, silent, type Failure } from './failure.ts';
import { Watch } from './watch.ts';
import { parseJson, parseServerError, type ModelMessage } from './wire.ts';

export interface CompletionRequest {
  readonly model: string;
  readonly messages: readonly ModelMessage[];
}

export type Opened =
  /** Whoever takes it calls `close`, always: it lets go of the connection. */
  | { readonly kind: 'open'; readonly response: Response; close(): void }
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'stopped' };

type Ports = Pick<RunContext, 'signal' | 'clock'>;
type Tried = Opened & { readonly again?: 'rate' | 'once' };

const RATE_TRIES_MAX = 3;
const RETRY_MS = 1_000;
const ERROR_BYTES_MAX = 64 * 1024;

export async function* openCompletion(
  request: CompletionRequest,
  settings: OpenAiSettings,
  ports: Ports,
): AsyncGenerator<AgentEvent, Opened, void> {
  const waits = { rate: 0, once: 0 };
  for (;;) {
    const tried = await tryOnce(request, settings, ports);
    if (tried.kind !== 'failed' || tried.again === undefined) return tried;
    const waitMs = tried.failure.retryAfterMs ?? RETRY_MS * 2 ** waits[tried.again];
    const triesMax = tried.again === 'rate' ? RATE_TRIES_MAX : 1;
    if (waits[tried.again] >= triesMax || waitMs > settings.retryWaitMsMax) return tried;
    waits[tried.again] += 1;
    const { fault, reason } = tried.failure;
    yield { type: 'data', name: 'notice', data: { fault, text: reason, retryInMs: waitMs } };
    await ports.clock.sleep(waitMs, ports.signal);
  }
}

async function tryOnce(request: CompletionRequest, settings: OpenAiSettings, ports: Ports): Promise<Tried> {
  const { signal, clock } = ports;
  const own = new AbortController();
  const watch = new Watch(ports, settings.firstByteTimeoutMs, () => own.abort());
  const where = { url: settings.endpoints.chat, model: request.model };
  watch.arm();
  try {
    const response = await fetch(settings.endpoints.chat, {
      method: 'POST',
      headers: headersOf(settings),
      body: JSON.stringify(bodyOf(request, settings)),
      // A redirected POST would become a GET, and its key would travel.
      redirect: 'manual',
      signal: AbortSignal.any([signal, own.signal]),
    });
    if (response.ok) return { kind: 'open', response, close: () => own.abort() };
    const error = parseError(await readText(response, ERROR_BYTES_MAX));
    const failure = failureOfStatus(response.status, error, where, retryAfterOf(response.headers, clock.now()));
    return { kind: 'failed', failure, ...againOf(failure) };
  } catch (error) {
    if (signal.aborted) return { kind: 'stopped' };
    if (watch.isSilent) return { kind: 'failed', failure: silent(where) };
    const { failure, wasTaken } = failureOfThrow(error, where);
    return { kind: 'failed', failure, ...(wasTaken ? { again: 'once' } : {}) };
  } finally {
    watch.stop();
  }
}

function againOf({ fault }: Failure): { readonly again?: 'rate' | 'once' } {
  if (fault === 'model-rate-limited') return { again: 'rate' };
  return fault === 'model-error' ? { again: 'once' } : {};
}

const parseError = (text = ''): ReturnType<typeof parseServerError> => {
  const body = parseJson(text);
  // A page of HTML says nothing to a person here.
  return body === undefined ? { message: text.trimStart().startsWith('<') ? '' : text.trim() } : parseServerError(body);
};

function bodyOf({ model, messages }: CompletionRequest, settings: OpenAiSettings): Record<string, unknown> {
  const { temperature, maxTokens, toolbox, extra } = settings;
  const tools = (toolbox?.tools ?? []).map(({ name, description, parameters }) => ({
    type: 'function',
    function: { name, description, parameters },
  }));
  return {
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
    ...(tools.length === 0 ? {} : { tools }),
    ...extra,
  };
}
