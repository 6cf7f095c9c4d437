/**
 * One answer of the model, from the request to its last chunk.
 *
 * 1. Text and thinking are yielded as they come; what came before any failure stays yielded.
 * 2. An answer is whole where a finish reason or `[DONE]` came. A stream that ends without either was cut off.
 * 3. After the finish reason only usage is waited for, and not for long: an answer that is whole does not fail any more.
 */
import type { AgentEvent, RunContext } from '@holdfast/session';
import type { OpenAiSettings } from './config.ts';
import { AnswerDraft } from './draft.ts';
import { DONE, readEvents, readText, type EventsEnd } from './events.ts';
import { failure, failureOfError, silent, type Failure } from './failure.ts';
import { openCompletion, type CompletionRequest } from './request.ts';
import { Watch } from './watch.ts';
import { parseChunk, parseServerError, type Chunk } from './wire.ts';

export type Answered =
  | { readonly kind: 'answered'; readonly draft: AnswerDraft }
  | { readonly kind: 'failed'; readonly failure: Failure; readonly draft: AnswerDraft }
  | { readonly kind: 'stopped'; readonly draft: AnswerDraft };

type Ports = Pick<RunContext, 'signal' | 'clock'>;
type Answering = AsyncGenerator<AgentEvent, Answered, void>;

const AFTER_FINISH_MS = 5_000;
const JSON_BYTES_MAX = 16 * 1024 * 1024;

export async function* answer(request: CompletionRequest, settings: OpenAiSettings, ports: Ports): Answering {
  const draft = new AnswerDraft();
  const opened = yield* openCompletion(request, settings, ports);
  if (opened.kind !== 'open') return { ...opened, draft };
  const where = { url: settings.endpoints.chat, model: request.model };
  const { response } = opened;
  try {
    const fault = isJson(response)
      ? yield* readWhole(response, draft, where)
      : yield* readStream(response, draft, where, settings, ports);
    if (ports.signal.aborted) return { kind: 'stopped', draft };
    return fault === null ? { kind: 'answered', draft } : { kind: 'failed', failure: fault, draft };
  } finally {
    opened.close();
  }
}

type Reading = AsyncGenerator<AgentEvent, Failure | null, void>;
type Where = Parameters<typeof failureOfError>[1];

async function* readStream(
  response: Response,
  draft: AnswerDraft,
  where: Where,
  { firstByteTimeoutMs, idleTimeoutMs }: OpenAiSettings,
  ports: Ports,
): Reading {
  if (response.body === null) return malformed(where);
  // The patience for the first token is that for the first byte: some servers send headers long before.
  const reader = response.body.getReader();
  const watch = new Watch(ports, firstByteTimeoutMs, () => void reader.cancel());
  const events = readEvents(reader, watch);
  try {
    for (;;) {
      const next = await events.next();
      if (next.done === true) return isEvents(response) ? endOf(next.value, draft, where) : malformed(where);
      if (next.value === DONE) return null;
      const fault = yield* take(parseChunk(next.value), draft, where);
      if (fault !== null) return fault;
      watch.retime(draft.finish === null ? idleTimeoutMs : Math.min(idleTimeoutMs, AFTER_FINISH_MS));
    }
  } finally {
    // Also where whoever reads the answer left in the middle of it.
    await events.return('ended');
  }
}

/** A server that does not stream answers, or fails, in one piece. */
async function* readWhole(response: Response, draft: AnswerDraft, where: Where): Reading {
  const text = await readText(response, JSON_BYTES_MAX);
  if (text === undefined) return endOf('cut', draft, where);
  const fault = yield* take(parseChunk(text), draft, where);
  if (fault !== null) return fault;
  return draft.isEmpty && draft.finish === null ? malformed(where) : null;
}

async function* take(chunk: Chunk | undefined, draft: AnswerDraft, where: Where): Reading {
  if (chunk === undefined) return malformed(where);
  if (chunk.error !== undefined && chunk.error !== null) return failureOfError(parseServerError(chunk), where);
  yield* draft.add(chunk);
  return draft.isMalformed ? malformed(where) : null;
}

function endOf(end: EventsEnd, draft: AnswerDraft, where: Where): Failure | null {
  if (draft.finish !== null) return null;
  switch (end) {
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

const malformed = ({ url }: Where): Failure =>
  failure('model-malformed', `What the server at ${url} sent is not Chat Completions. Is HOLDFAST_MODEL_URL right?`);

/** A page of HTML ends too; that is no answer that was cut off. */
const isEvents = (response: Response): boolean => {
  const type = response.headers.get('content-type');
  return type === null || type.startsWith('text/event-stream');
};

const isJson = (response: Response): boolean =>
  /^application\/(?:problem\+)?json/.test(response.headers.get('content-type') ?? '');
