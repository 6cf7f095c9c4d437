/**
 * The closed list of everything that can go wrong, each with its HTTP status and its advice about retrying.
 *
 * 1. A fault is named here or it does not exist: nobody matches on message text, and only the gateway's responder turns
 *    a fault into a status code.
 * 2. `retry` says what makes a second try worth while: `no` (it will fail again), `later` (the same request, after a
 *    pause), `auth` (after new credentials), `resync` (after a fresh snapshot).
 */

export type RetryAdvice = 'no' | 'later' | 'auth' | 'resync';

interface FaultKindInfo {
  readonly status: number;
  readonly retry: RetryAdvice;
  readonly title: string;
}

/** Status, and words for people. Status 0: never crosses HTTP as a response; it is raised by a client or recorded in a turn's end. */
const FAULTS = {
  // What the caller sent.
  'invalid-request': [400, 'The request does not have the expected shape'],
  'invalid-json': [400, 'The body is not JSON'],
  'invalid-utf8': [400, 'The body is not valid UTF-8'],
  'too-deep': [400, 'The body is nested too deeply'],
  'invalid-cursor': [400, 'The cursor is malformed'],
  'body-too-large': [413, 'The body is too large'],
  'unsupported-media-type': [415, 'The content type is not supported'],
  unauthorized: [401, 'A valid token is needed'],
  forbidden: [403, 'The token does not allow this'],
  'origin-refused': [403, 'The page of this origin may not call the gateway'],
  'host-refused': [421, 'The gateway does not answer to this host name'],
  'route-not-found': [404, 'There is no such route'],
  'method-not-allowed': [405, 'The route does not have this method'],
  'session-not-found': [404, 'There is no such session'],
  'session-deleted': [410, 'The session was deleted'],
  'message-not-found': [404, 'There is no such message'],
  'turn-not-found': [404, 'There is no such turn'],
  'prompt-not-found': [404, 'There is no such prompt'],
  'blob-not-found': [404, 'There is no such blob'],
  'token-not-found': [404, 'There is no such token'],
  'grant-not-found': [404, 'There is no such grant'],
  'agent-not-found': [404, 'There is no such agent'],
  'stream-not-found': [404, 'There is no such stream'],
  'btw-not-found': [404, 'There is no such side question'],
  'terminal-not-found': [404, 'There is no such terminal'],
  'client-id-reused': [409, 'The client id was used for another command'],
  'session-exists': [409, 'A session with this id exists'],
  'message-started': [409, 'The message is no longer in the queue'],
  'turn-ended': [409, 'The turn has ended'],
  'prompt-closed': [409, 'The prompt is closed'],
  'btw-unfinished': [409, 'The side question has no whole answer'],
  'terminal-taken': [409, 'Another reader has the terminal'],
  'terminal-ended': [409, 'The process of the terminal has ended'],
  'invalid-offset': [416, 'The bytes at this offset are not there'],
  'terminal-elsewhere': [421, 'The terminal belongs to another node'],
  'terminals-off': [501, 'The gateway opens no terminals'],
  // Limits and conditions of the service.
  'queue-full': [429, 'The queue of this session is full'],
  'rate-limited': [429, 'Too many requests'],
  'too-many-readers': [429, 'Too many readers'],
  'too-many-sessions': [429, 'Too many sessions'],
  'too-many-btws': [429, 'Too many side questions'],
  'btw-unsupported': [501, 'The agent answers no side questions'],
  'too-many-terminals': [429, 'Too many terminals'],
  'storage-full': [507, 'The disk is full'],
  'storage-unavailable': [503, 'The store does not answer'],
  'shutting-down': [503, 'The gateway is shutting down'],
  internal: [500, 'The gateway made an error'],
  // Raised by clients about the connection.
  cancelled: [0, 'The operation was cancelled'],
  disconnected: [0, 'The connection was lost'],
  'idle-timeout': [0, 'The connection went silent'],
  'stream-overflow': [0, 'The platform did not pause a stream when it was told to'],
  'line-too-large': [0, 'A line is larger than the limit'],
  'event-too-large': [0, 'An event is larger than the limit'],
  'protocol-error': [0, 'The peer broke the protocol'],
  'auth-refused': [0, 'New credentials were refused'],
  'auth-unavailable': [0, 'New credentials could not be fetched'],
  // Raised at a gateway's start.
  'invalid-config': [0, 'The configuration is wrong'],
  'address-in-use': [0, 'The address is in use'],
  // Recorded in a turn's end.
  'model-unreachable': [0, 'The model cannot be reached'],
  'model-unauthorized': [0, 'The model refused the key'],
  'model-not-found': [0, 'The model does not exist there'],
  'model-rate-limited': [0, 'The model is rate limited'],
  'model-refused': [0, 'The model refused the request'],
  'model-error': [0, 'The model failed'],
  'model-malformed': [0, 'The model broke its protocol'],
  'model-empty': [0, 'The model answered nothing'],
  'model-cut-off': [0, 'The stream of the model died in mid-answer'],
  'model-silent': [0, 'The model stopped sending'],
  'context-overflow': [0, 'The message does not fit the context window of the model'],
  'agent-crashed': [0, 'The agent made an error'],
  shutdown: [0, 'The gateway shut down in mid-turn'],
  'owner-lost': [0, 'The turn lost the process that ran it'],
  'crash-loop': [0, 'The turn could not be started three times in a row'],
} as const;

export type FaultKind = keyof typeof FAULTS;
export const FAULT_KINDS: readonly FaultKind[] = /* @__PURE__ */ Object.keys(FAULTS) as FaultKind[];

/** Where a second try is worth while: whoever asks for advice alone, as the client does, carries nothing else of the list. */
const ADVICE: readonly (readonly [RetryAdvice, readonly FaultKind[]])[] = [
  [
    'later',
    [
      'queue-full',
      'rate-limited',
      'too-many-readers',
      'too-many-sessions',
      'too-many-btws',
      'too-many-terminals',
      'terminal-elsewhere',
      'storage-full',
      'storage-unavailable',
      'shutting-down',
      'internal',
      'disconnected',
      'idle-timeout',
      'stream-overflow',
      'auth-unavailable',
      'model-unreachable',
      'model-rate-limited',
      'model-error',
      'model-malformed',
      'model-empty',
      'model-cut-off',
      'model-silent',
      'agent-crashed',
      'shutdown',
      'owner-lost',
    ],
  ],
  ['auth', ['unauthorized', 'auth-refused']],
  ['resync', ['invalid-cursor', 'event-too-large', 'protocol-error']],
];

/** A fault as a value. `detail` is for people: what happened, why it matters, how to fix it. */
export interface Fault {
  readonly kind: FaultKind;
  readonly detail: string;
  /** How long to wait before a retry can help, in milliseconds. */
  readonly retryAfterMs?: number;
  /** Facts for programs: the real state behind a 409, the limit behind a 413. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** Of the kind of a newer peer nothing is known but its name. */
export function faultInfo(kind: FaultKind): FaultKindInfo {
  const [status, title] = isFaultKind(kind) ? FAULTS[kind] : [500, kind];
  return { status, retry: retryOf(kind), title };
}

export const retryOf = (kind: FaultKind): RetryAdvice => ADVICE.find(([, kinds]) => kinds.includes(kind))?.[0] ?? 'no';

export const isFaultKind = (text: string): text is FaultKind => Object.hasOwn(FAULTS, text);

export const isRetryable = (fault: Fault): boolean => retryOf(fault.kind) === 'later';

export function fault(kind: FaultKind, detail: string, more: Omit<Fault, 'kind' | 'detail'> = {}): Fault {
  return { kind, detail, ...more };
}

/** A fault where only an exception can travel (an iterator, a rejected promise). Catch it by `instanceof FaultError`. */
export class FaultError extends Error {
  readonly fault: Fault;

  constructor(value: Fault, options?: ErrorOptions) {
    super(`${value.kind}: ${value.detail}`, options);
    this.name = 'FaultError';
    this.fault = value;
  }
}

/** RFC 9457 problem details, as the gateway answers and the client reads. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly fault: FaultKind;
  readonly retryAfterMs?: number;
  readonly facts?: Readonly<Record<string, unknown>>;
}

export function problemOf(value: Fault): Problem {
  const { status, title } = faultInfo(value.kind);
  return {
    type: `urn:holdfast:fault:${value.kind}`,
    title,
    status,
    detail: value.detail,
    fault: value.kind,
    ...(value.retryAfterMs === undefined ? {} : { retryAfterMs: value.retryAfterMs }),
    ...(value.facts === undefined ? {} : { facts: value.facts }),
  };
}
