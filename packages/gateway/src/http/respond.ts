/**
 * The one place where a status code is written.
 *
 * 1. A fault becomes problem details (RFC 9457) with its advice: `retryAfterMs` in the body, `Retry-After` in whole seconds.
 * 2. Every answer says how it may be kept: API answers are `no-store`.
 * 3. A body that was not read to its end closes the connection: what is left of it is nobody's next request. So does a request that came to the
 *    wrong place (421): by the same connection the next try would come here again.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { fault, faultInfo, problemOf, type Fault } from '@holdfast/protocol';
import type { Headers, Reply } from './reply.ts';

const STATUS = {
  ok: 200,
  created: 201,
  accepted: 202,
  empty: 204,
  text: 200,
  bytes: 200,
  unchanged: 304,
  stream: 200,
  unready: 503,
} as const;

const MISDIRECTED = 421;

/** Of every answer, files too. */
const ALWAYS: Headers = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};
const EVENT_STREAM = 'text/event-stream; charset=utf-8';
const NO_STORE: Headers = { 'cache-control': 'no-store' };

export interface Outlet {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
}

export function respond(reply: Reply, { incoming, outgoing }: Outlet, extra: Headers = {}): Response {
  const headers = { ...ALWAYS, ...NO_STORE, ...extra };
  switch (reply.kind) {
    case 'ok':
    case 'created':
    case 'accepted':
    case 'unready':
      return send(STATUS[reply.kind], JSON.stringify(reply.body), {
        ...headers,
        'content-type': 'application/json; charset=utf-8',
        ...('headers' in reply ? reply.headers : {}),
      });
    case 'empty':
    case 'unchanged':
      return send(STATUS[reply.kind], null, { ...headers, ...reply.headers });
    case 'text':
      return send(STATUS.text, reply.text, { ...headers, 'content-type': reply.mediaType, ...reply.headers });
    case 'bytes': {
      const length = reply.bytes === undefined ? {} : { 'content-length': String(reply.bytes) };
      // The readable's web form is what a Response takes; Node's own destroys the source when the client leaves.
      const body =
        incoming.method === 'HEAD' ? null : (Readable.toWeb(Readable.from(reply.chunks)) as ReadableStream<Uint8Array>);
      return send(STATUS.bytes, body, { ...headers, 'content-type': reply.mediaType, ...length, ...reply.headers });
    }
    case 'stream':
      openStream(outgoing, reply.mediaType ?? EVENT_STREAM, { ...headers, ...reply.headers });
      reply.open(outgoing);
      return RESPONSE_ALREADY_SENT;
    case 'fault':
      return sendFault(reply.fault, incoming, { ...headers, ...reply.headers });
  }
}

const send = (status: number, body: string | ReadableStream<Uint8Array> | null, headers: Headers): Response =>
  new Response(body as BodyInit | null, { status, headers });

function openStream(outgoing: ServerResponse, mediaType: string, headers: Headers): void {
  outgoing.writeHead(STATUS.stream, {
    ...headers,
    'content-type': mediaType,
    // No transformation: a proxy that compresses would hold events back.
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
  });
}

/** What was no request to begin with: it has no route and no outlet. */
export function refuseMalformed(): Response {
  const refusal = fault('invalid-request', 'The request has no usable host or address. Send one as HTTP/1.1 asks for.');
  const headers = { ...ALWAYS, ...NO_STORE, connection: 'close', 'content-type': 'application/problem+json' };
  return send(faultInfo(refusal.kind).status, JSON.stringify(problemOf(refusal)), headers);
}

/** Rules 1 and 3. */
function sendFault(refusal: Fault, incoming: IncomingMessage, headers: Headers): Response {
  const { status } = faultInfo(refusal.kind);
  const wait =
    refusal.retryAfterMs === undefined
      ? {}
      : { 'retry-after': String(Math.max(1, Math.ceil(refusal.retryAfterMs / 1_000))) };
  const challenge = refusal.kind === 'unauthorized' ? { 'www-authenticate': 'Bearer realm="holdfast"' } : {};
  const close = incoming.complete && status !== MISDIRECTED ? {} : { connection: 'close' };
  // A fault that never crosses HTTP got here by a mistake of ours.
  return send(status === 0 ? 500 : status, JSON.stringify(problemOf(refusal)), {
    ...headers,
    ...wait,
    ...challenge,
    ...close,
    'content-type': 'application/problem+json',
  });
}
