/**
 * One attempt of a stream: a task that makes its connection, reads it and closes it (B1).
 *
 * A1. The connection is a local variable of the task. From outside an attempt can only be told to end; the teardown follows.
 * A2. Its watchdog lives as long as it does, from before the request on: a server that never answers is silent too.
 * A3. Every way out is an `Outcome`; a task never rejects for what the network does.
 */
import { fault, FaultError, retryOf, type Fault } from '@holdfast/protocol/fault';
import { HEARTBEAT_MS } from '@holdfast/protocol/sse';
import { createSseDecoder, type SseEvent } from '@holdfast/protocol/sse-decode';

import type { SafeByteStream } from './byte-stream.ts';
import type { Credentials } from './credentials.ts';
import type { PlacesRequest } from './places.ts';
import type { Clock } from './ports.ts';
import { openWithCredentials } from './post.ts';
import { faultOfResponse } from './problem.ts';
import type { Transport } from './transport.ts';
import { startWatchdog, type Watchdog } from './watchdog.ts';

export type Outcome =
  | { readonly kind: 'drained' }
  | { readonly kind: 'retryable'; readonly fault: Fault }
  | { readonly kind: 'fatal'; readonly fault: Fault };

export interface AttemptOptions {
  readonly transport: Transport;
  readonly baseUrl: string;
  readonly credentials: Credentials | undefined;
  readonly clock: Clock;
  readonly request: PlacesRequest;
  /** It will be read. `token`: what it was opened with. */
  opened(token: string | undefined): void;
  /** @returns why to end, if so. */
  receive(event: SseEvent): Outcome | undefined;
}

export interface Attempt {
  readonly signal: AbortSignal;
  readonly outcome: Promise<Outcome>;
  /** Is the other side still alive, by the wall clock? */
  probe(): void;
  setHeartbeat(heartbeatMs: number): void;
  end(): void;
}

/** Two heartbeats and a half. */
const idleLimitMs = (heartbeatMs: number): number => heartbeatMs * 2.5;

export function startAttempt(options: AttemptOptions): Attempt {
  const abort = new AbortController();
  let wasIdle = false;
  const watchdog = startWatchdog(options.clock, idleLimitMs(HEARTBEAT_MS), () => {
    wasIdle = true;
    abort.abort();
  });
  const outcome = run(options, abort.signal, watchdog).then((it) => (wasIdle ? IDLE : it));
  return {
    signal: abort.signal,
    outcome,
    probe: () => watchdog.probe(),
    setHeartbeat(heartbeatMs) {
      if (heartbeatMs > 0 && heartbeatMs <= 600_000) watchdog.setLimit(idleLimitMs(heartbeatMs));
    },
    end: () => abort.abort(),
  };
}

const IDLE: Outcome = {
  kind: 'retryable',
  fault: fault('idle-timeout', 'Neither an event nor a heartbeat came for two heartbeats and more.'),
};

async function run(options: AttemptOptions, signal: AbortSignal, watchdog: Watchdog): Promise<Outcome> {
  const { transport, baseUrl, credentials, request } = options;
  const connection = transport.open();
  try {
    const { path, ...how } = request;
    const headers: Record<string, string> = { accept: 'text/event-stream' };
    if (how.body !== undefined) headers['content-type'] = 'application/json';
    const response = await openWithCredentials(
      connection,
      { url: baseUrl + path, ...how, headers, signal },
      credentials,
    );
    if (response.status === 204) return { kind: 'drained' };
    if (response.status !== 200) return outcomeOf(await faultOfResponse(response));
    if (!response.headers.get('content-type')?.startsWith('text/event-stream')) return NOT_A_STREAM;
    options.opened(response.token);
    return await read(response.body, options, signal, watchdog);
  } catch (error) {
    if (error instanceof FaultError) return outcomeOf(error.fault);
    throw error;
  } finally {
    watchdog.end();
    connection.close();
  }
}

async function read(
  body: SafeByteStream,
  options: AttemptOptions,
  signal: AbortSignal,
  watchdog: Watchdog,
): Promise<Outcome> {
  let outcome: Outcome | undefined;
  let isOver = signal.aborted;
  signal.addEventListener('abort', () => (isOver = true));
  const decoder = createSseDecoder({
    event(event) {
      // The rest of the chunk belongs to nobody once the attempt is over.
      if (outcome === undefined && !isOver) outcome = options.receive(event);
    },
  });
  await body.each((bytes) => {
    watchdog.touch();
    const failure = decoder.push(bytes);
    if (failure !== undefined) outcome ??= outcomeOf(failure);
    return outcome === undefined;
  });
  return outcome ?? outcomeOf(fault('disconnected', 'The stream ended without a goodbye.'));
}

/** A captive portal, a proxy's own page: not ours, and gone some time. */
const NOT_A_STREAM: Outcome = {
  kind: 'retryable',
  fault: fault('disconnected', 'The answer was no event stream. Is there another server in between?'),
};

export function outcomeOf(reason: Fault): Outcome {
  const retry = retryOf(reason.kind);
  return { kind: retry === 'later' || retry === 'resync' ? 'retryable' : 'fatal', fault: reason };
}
