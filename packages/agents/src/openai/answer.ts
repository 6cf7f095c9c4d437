/**
 * One answer of the model, from the request to its last frame; asked for again if that may help.
 *
 * 1. Text and thinking are yielded as they come; what came before any failure stays yielded.
 * 2. Only a request that nothing came of is sent again, so no output is ever doubled. Its refusal may stand in a status or in the
 *    first frame of a stream; both are treated alike.
 * 3. A rate limit is waited for: after the server's own advice, or 1, 2, 4 s; at most `RATE_TRIES_MAX` times, and never longer than
 *    `retryWaitMsMax`, above which the turn ends with the advice. Each wait is told to the reader as a notice. Other failures
 *    that may pass are tried once more.
 * 4. What the model does not take is left out, and it is asked again at once (`concessions.ts`).
 * 5. Behind the finish reason only usage is waited for, and not for long: a whole answer does not fail any more.
 */
import type { AgentEvent } from '@holdfast/session';
import { bodyOf, hasPictures, sentIn, type CompletionRequest } from './boundary.ts';
import type { Concession, Concessions } from './concessions.ts';
import type { OpenAiSettings } from './config.ts';
import { AnswerDraft } from './draft.ts';
import { faultOf, malformed } from './ending.ts';
import { readFrames } from './events.ts';
import { failure, failureOfError, statusOf, type Failure, type Where } from './failure.ts';
import { parseFrame, type Parsed } from './frame.ts';
import { openCompletion, refused, type Ports, type Refused } from './request.ts';
import { Watch } from './watch.ts';

export type Answered =
  | { readonly kind: 'answered'; readonly draft: AnswerDraft }
  | (Refused & { readonly draft: AnswerDraft })
  | { readonly kind: 'stopped'; readonly draft: AnswerDraft };

type Answering = AsyncGenerator<AgentEvent, Answered, void>;
type Reading = AsyncGenerator<AgentEvent, Refused | null, void>;

const RATE_TRIES_MAX = 3;
const RETRY_MS = 1_000;
const AFTER_FINISH_MS = 5_000;

export async function* answer(
  request: CompletionRequest,
  settings: OpenAiSettings,
  concessions: Concessions,
  ports: Ports,
): Answering {
  const waits = { rate: 0, once: 0 };
  for (;;) {
    const tried = yield* exchange(request, settings, concessions, ports);
    if (tried.kind !== 'failed' || !tried.draft.isEmpty) return tried;
    const conceded = concede(tried, request, settings, concessions);
    if (conceded === 'pictures' && hasPictures(request.current)) return { ...tried, failure: unseen(tried, request) };
    if (conceded !== null) {
      if (conceded === 'tools')
        yield notice(`The model “${request.model}” takes no tools. It answers without them.`, {});
      continue;
    }
    const { failure: failed, again } = tried;
    if (again === undefined) return tried;
    const waitMs = failed.retryAfterMs ?? RETRY_MS * 2 ** waits[again];
    if (waits[again] >= (again === 'rate' ? RATE_TRIES_MAX : 1) || waitMs > settings.retryWaitMsMax) return tried;
    waits[again] += 1;
    yield notice(failed.reason, { fault: failed.fault, retryInMs: waitMs });
    await ports.clock.sleep(waitMs, ports.signal);
  }
}

const notice = (text: string, more: object): AgentEvent => ({ type: 'data', name: 'notice', data: { text, ...more } });

function concede(
  { refusal, failure: { fault } }: Refused,
  request: CompletionRequest,
  settings: OpenAiSettings,
  concessions: Concessions,
): Concession | null {
  if (refusal === undefined || fault === 'context-overflow') return null;
  return concessions.learn(refusal, sentIn(bodyOf(request, settings, concessions), request, concessions));
}

const unseen = ({ failure: { reason } }: Refused, { model }: CompletionRequest): Failure =>
  failure(
    'model-refused',
    `The model “${model}” did not take the picture. Send the message without it, or choose a model that sees. ${reason}`,
  );

// ── one request ─────────────────────────────────────────────────────────────────────────────────────────────────────

async function* exchange(
  request: CompletionRequest,
  settings: OpenAiSettings,
  concessions: Concessions,
  ports: Ports,
): Answering {
  const draft = new AnswerDraft();
  const where = { url: settings.endpoints.chat, model: request.model };
  const opened = await openCompletion(bodyOf(request, settings, concessions), settings, where, ports);
  if (opened.kind !== 'open') return { ...opened, draft };
  try {
    const fault = yield* readAnswer(opened.response, draft, where, settings, ports);
    yield* draft.end();
    if (ports.signal.aborted) return { kind: 'stopped', draft };
    return fault === null ? { kind: 'answered', draft } : { ...fault, draft };
  } finally {
    opened.close();
  }
}

async function* readAnswer(
  response: Response,
  draft: AnswerDraft,
  where: Where,
  { firstByteTimeoutMs, idleTimeoutMs }: OpenAiSettings,
  ports: Ports,
): Reading {
  if (response.body === null) return failed(malformed(where));
  const reader = response.body.getReader();
  // The patience for the first token is that for the first byte: some servers send headers long before. One that answers in a
  // single document sends them with it.
  const patienceMs = isLabelled(response, 'json') ? idleTimeoutMs : firstByteTimeoutMs;
  const watch = new Watch(ports, patienceMs, () => void reader.cancel());
  const frames = readFrames(reader, watch, idleTimeoutMs);
  let count = 0;
  try {
    for (;;) {
      const next = await frames.next();
      if (next.done === true) {
        const isPage = count === 0 && next.value === 'ended' && !isLabelled(response, 'event-stream');
        return isPage ? failed(malformed(where)) : orNull(faultOf(next.value, draft, where));
      }
      count += 1;
      const parsed = parseFrame(next.value);
      const ended = yield* take(parsed, draft, where);
      if (ended !== 'more') return ended;
      watch.retime(draft.finish === null ? idleTimeoutMs : Math.min(idleTimeoutMs, AFTER_FINISH_MS));
    }
  } finally {
    // Also if the reader of the answer left in the middle of it.
    await frames.return('ended');
  }
}

async function* take(
  parsed: Parsed,
  draft: AnswerDraft,
  where: Where,
): AsyncGenerator<AgentEvent, Refused | null | 'more', void> {
  // Rule 5.
  const isWhole = draft.finish !== null;
  switch (parsed.kind) {
    case 'done':
      return orNull(faultOf('done', draft, where));
    case 'error': {
      if (isWhole) return 'more';
      const { error } = parsed;
      return refused(failureOfError(error, where), { status: statusOf(error), error });
    }
    case 'lost':
      return isWhole ? 'more' : failed(malformed(where));
    case 'unread':
      draft.unread += 1;
      return 'more';
    case 'noise':
      return 'more';
    case 'chunk': {
      yield* draft.add(parsed.chunk);
      if (draft.isMalformed) return failed(malformed(where));
      return parsed.isDocument ? orNull(documentFault(draft, where)) : 'more';
    }
  }
}

/** A document without a choice is no answer. */
const documentFault = (draft: AnswerDraft, where: Where): Failure | null =>
  draft.hasChoice ? faultOf('done', draft, where) : malformed(where);

const failed = (fault: Failure): Refused => ({ kind: 'failed', failure: fault });
const orNull = (fault: Failure | null): Refused | null => (fault === null ? null : failed(fault));

const isLabelled = (response: Response, word: 'json' | 'event-stream'): boolean => {
  const type = response.headers.get('content-type');
  return type === null ? word === 'event-stream' : type.includes(word);
};
