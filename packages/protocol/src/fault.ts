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

/** Status and advice. Status 0: never crosses HTTP as a response; it is raised by a client or recorded in a turn's end. */
const FAULTS = {
  // What the caller sent.
  'invalid-request': [400, 'no'],
  'invalid-json': [400, 'no'],
  'invalid-utf8': [400, 'no'],
  'too-deep': [400, 'no'],
  'invalid-cursor': [400, 'resync'],
  'body-too-large': [413, 'no'],
  'unsupported-media-type': [415, 'no'],
  unauthorized: [401, 'auth'],
  forbidden: [403, 'no'],
  'origin-refused': [403, 'no'],
  'host-refused': [421, 'no'],
  'route-not-found': [404, 'no'],
  'method-not-allowed': [405, 'no'],
  'session-not-found': [404, 'no'],
  'session-deleted': [410, 'no'],
  'message-not-found': [404, 'no'],
  'turn-not-found': [404, 'no'],
  'prompt-not-found': [404, 'no'],
  'blob-not-found': [404, 'no'],
  'token-not-found': [404, 'no'],
  'grant-not-found': [404, 'no'],
  'agent-not-found': [404, 'no'],
  'stream-not-found': [404, 'no'],
  'client-id-reused': [409, 'no'],
  'session-exists': [409, 'no'],
  'message-started': [409, 'no'],
  'turn-ended': [409, 'no'],
  'prompt-closed': [409, 'no'],
  // Limits and conditions of the service.
  'queue-full': [429, 'later'],
  'rate-limited': [429, 'later'],
  'too-many-readers': [429, 'later'],
  'too-many-sessions': [429, 'later'],
  'storage-full': [507, 'later'],
  'storage-unavailable': [503, 'later'],
  'shutting-down': [503, 'later'],
  internal: [500, 'later'],
  // Raised by clients about the connection.
  cancelled: [0, 'no'],
  disconnected: [0, 'later'],
  'idle-timeout': [0, 'later'],
  'line-too-large': [0, 'no'],
  'event-too-large': [0, 'resync'],
  'protocol-error': [0, 'resync'],
  'auth-refused': [0, 'auth'],
  'auth-unavailable': [0, 'later'],
  // Raised at a gateway's start.
  'invalid-config': [0, 'no'],
  'address-in-use': [0, 'no'],
  // Recorded in a turn's end.
  'model-unreachable': [0, 'later'],
  'model-unauthorized': [0, 'no'],
  'model-not-found': [0, 'no'],
  'model-rate-limited': [0, 'later'],
  'model-refused': [0, 'no'],
  'model-error': [0, 'later'],
  'model-malformed': [0, 'later'],
  'model-cut-off': [0, 'later'],
  'model-silent': [0, 'later'],
  'context-overflow': [0, 'no'],
  'agent-crashed': [0, 'later'],
  shutdown: [0, 'later'],
  'owner-lost': [0, 'later'],
  'crash-loop': [0, 'no'],
} as const;

export type FaultKind = keyof typeof FAULTS;
export const FAULT_KINDS: readonly FaultKind[] = Object.keys(FAULTS) as FaultKind[];

/** For people. A table of its own: who only asks for advice, as the client's core does, does not carry the words. */
const TITLES: Readonly<Record<FaultKind, string>> = {
  'invalid-request': 'The request does not have the expected shape',
  'invalid-json': 'The body is not JSON',
  'invalid-utf8': 'The body is not valid UTF-8',
  'too-deep': 'The body is nested too deeply',
  'invalid-cursor': 'The cursor is malformed',
  'body-too-large': 'The body is too large',
  'unsupported-media-type': 'The content type is not supported',
  unauthorized: 'A valid token is needed',
  forbidden: 'The token does not allow this',
  'origin-refused': 'The page of this origin may not call the gateway',
  'host-refused': 'The gateway does not answer to this host name',
  'route-not-found': 'There is no such route',
  'method-not-allowed': 'The route does not have this method',
  'session-not-found': 'There is no such session',
  'session-deleted': 'The session was deleted',
  'message-not-found': 'There is no such message',
  'turn-not-found': 'There is no such turn',
  'prompt-not-found': 'There is no such prompt',
  'blob-not-found': 'There is no such blob',
  'token-not-found': 'There is no such token',
  'grant-not-found': 'There is no such grant',
  'agent-not-found': 'There is no such agent',
  'stream-not-found': 'There is no such stream',
  'client-id-reused': 'The client id was used for another command',
  'session-exists': 'A session with this id exists',
  'message-started': 'The message is no longer in the queue',
  'turn-ended': 'The turn has ended',
  'prompt-closed': 'The prompt is closed',
  'queue-full': 'The queue of this session is full',
  'rate-limited': 'Too many requests',
  'too-many-readers': 'Too many readers',
  'too-many-sessions': 'Too many sessions',
  'storage-full': 'The disk is full',
  'storage-unavailable': 'The store does not answer',
  'shutting-down': 'The gateway is shutting down',
  internal: 'The gateway made an error',
  cancelled: 'The operation was cancelled',
  disconnected: 'The connection was lost',
  'idle-timeout': 'The connection went silent',
  'line-too-large': 'A line is larger than the limit',
  'event-too-large': 'An event is larger than the limit',
  'protocol-error': 'The peer broke the protocol',
  'auth-refused': 'New credentials were refused',
  'auth-unavailable': 'New credentials could not be fetched',
  'invalid-config': 'The configuration is wrong',
  'address-in-use': 'The address is in use',
  'model-unreachable': 'The model cannot be reached',
  'model-unauthorized': 'The model refused the key',
  'model-not-found': 'The model does not exist there',
  'model-rate-limited': 'The model is rate limited',
  'model-refused': 'The model refused the request',
  'model-error': 'The model failed',
  'model-malformed': 'The model sent what is not its protocol',
  'model-cut-off': 'The stream of the model died in mid-answer',
  'model-silent': 'The model stopped sending',
  'context-overflow': 'The message does not fit the context window of the model',
  'agent-crashed': 'The agent made an error',
  shutdown: 'The gateway shut down in mid-turn',
  'owner-lost': 'The process that ran the turn died',
  'crash-loop': 'The turn could not be started three times in a row',
};

/** A fault as a value. `detail` is for people: what happened, why it matters, how to fix it. */
export interface Fault {
  readonly kind: FaultKind;
  readonly detail: string;
  /** How long to wait before a retry can help, in milliseconds. */
  readonly retryAfterMs?: number;
  /** Facts for programs: the real state behind a 409, the limit behind a 413. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

export function faultInfo(kind: FaultKind): FaultKindInfo {
  const [status, retry] = FAULTS[kind];
  return { status, retry, title: TITLES[kind] };
}

export const retryOf = (kind: FaultKind): RetryAdvice => FAULTS[kind][1];

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
