/**
 * The wire of Node, Bun and Deno: `node:http` and `node:https`, with an agent of its own for each connection. `fetch` is not used there:
 * in Node it ends the process when a held response without keep-alive ends (R108), and in Node and Bun it cannot tell a reset of a
 * body without a length from its end.
 *
 * 1. The request, the response and the socket have an `error` listener for as long as they live: a late error, after `cancel` or after
 *    the end, reaches it and is not reported.
 * 2. A response is complete only by its `end`; its `close` before that is a lost connection. A reset is reported on the request's
 *    `error`, before the parser ends a body without a length: unless the response was complete by then, it fails.
 * 3. A socket that waits for the next request is read: a byte that comes unasked ends it. It keeps no process alive.
 * 4. Whatever ends an exchange before its response is complete destroys the socket.
 */
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { fault, type Fault } from '@holdfast/protocol/fault';

import { createTransport, type Transport } from '../transport.ts';
import type { ResponseHeaders, WireConnection, WireExchange, WireRequest, WireSink } from '../wire.ts';

export interface NodeTransportOptions {
  /** For `https:`: a private authority, a client certificate … */
  readonly tls?: https.AgentOptions;
}

/** The default transport in Node, Bun and Deno. A stream has a socket of its own; short requests share up to six. */
export function nodeTransport({ tls = {} }: NodeTransportOptions = {}): Transport {
  return createTransport({
    open: () => new HttpConnection(tls, { maxFreeSockets: 1 }),
    short: new HttpConnection(tls, { maxSockets: SHORT_SOCKETS_MAX }),
  });
}

/** Six short requests at a time, as browsers have it. */
const SHORT_SOCKETS_MAX = 6;

class HttpConnection implements WireConnection {
  readonly #tls: https.AgentOptions;
  readonly #pool: http.AgentOptions;
  #plain: http.Agent | undefined;
  #secure: https.Agent | undefined;

  constructor(tls: https.AgentOptions, pool: http.AgentOptions) {
    this.#tls = tls;
    this.#pool = { ...pool, keepAlive: true };
  }

  send(request: WireRequest, sink: WireSink): WireExchange {
    return new HttpExchange(request, sink, (url) => this.#start(url, request));
  }

  close(): void {
    this.#plain?.destroy();
    this.#secure?.destroy();
  }

  #start(url: URL, { method, headers, body }: WireRequest): http.ClientRequest {
    // Node sends no length with the body of a DELETE or a GET, and the server takes the body for the next request.
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
    const options = { method, headers: { ...headers, ...length } };
    if (url.protocol === 'https:') {
      this.#secure ??= watchIdle(new https.Agent({ ...this.#tls, ...this.#pool }));
      return https.request(url, { ...options, agent: this.#secure });
    }
    this.#plain ??= watchIdle(new http.Agent(this.#pool));
    return http.request(url, { ...options, agent: this.#plain });
  }
}

/** Rule 3, by the two hooks that an agent has for it. */
function watchIdle<A extends http.Agent>(agent: A): A {
  const hooks = agent as unknown as IdleHooks;
  const keep = hooks.keepSocketAlive.bind(agent);
  const reuse = hooks.reuseSocket.bind(agent);
  hooks.keepSocketAlive = (socket) => {
    // A response may come before the request has gone out whole.
    if (socket.writableLength > 0 || keep(socket) === false) return false;
    socket.on('data', endSpoiled);
    return true;
  };
  hooks.reuseSocket = (socket, request) => {
    socket.off('data', endSpoiled);
    reuse(socket, request);
  };
  return agent;
}

/** https://nodejs.org/api/http.html#agentkeepsocketalivesocket. The types leave out what they return. */
interface IdleHooks {
  keepSocketAlive(socket: Duplex): boolean | undefined;
  reuseSocket(socket: Duplex, request: http.ClientRequest): void;
}

function endSpoiled(this: Duplex): void {
  this.destroy();
}

class HttpExchange implements WireExchange {
  readonly #sink: WireSink;
  #request: http.ClientRequest | undefined;
  #response: IncomingMessage | undefined;
  #over = false;

  constructor({ url, body }: WireRequest, sink: WireSink, start: (url: URL) => http.ClientRequest) {
    this.#sink = sink;
    try {
      this.#request = start(new URL(url));
    } catch (error) {
      const failure = fault('invalid-request', `The request could not be made: ${String(error)}`);
      queueMicrotask(() => this.#fail(failure)); // W1
      return;
    }
    this.#request.on('socket', watchErrors); // Rule 1
    this.#request.on('response', (response) => this.#begin(response));
    this.#request.on('error', (error) => this.#response?.complete || this.#fail(lost(error))); // Rules 1, 2
    this.#request.on('close', () => this.#response ?? this.#fail(lost('closed before the response')));
    this.#request.end(body);
  }

  hold(): void {
    this.#response?.pause();
  }

  flow(): void {
    this.#response?.resume();
  }

  cancel(): void {
    // After the end the socket may be the next exchange's.
    if (this.#over) return;
    this.#over = true;
    this.#request?.destroy(); // Rule 4
  }

  #begin(response: IncomingMessage): void {
    response.on('error', (error) => this.#fail(lost(error))); // Rule 1
    if (this.#over) return;
    this.#response = response;
    const { socket } = response;
    const checkPeer = (): void => this.#checkPeer(socket);
    if (isEndedBySocket(response)) socket.prependOnceListener('end', checkPeer);
    response.on('end', () => {
      // It may have had no body at all, and the socket goes to the next exchange.
      socket.off('end', checkPeer);
      this.#end();
    });
    response.on('close', () => this.#fail(lost('closed in mid-response'))); // Rule 2
    const sink = this.#sink;
    sink.head(response.statusCode ?? 0, headersOf(response));
    if (this.#over) return;
    // The flag is asked for each chunk: a cancel in mid-parse leaves the parser some more to say.
    response.on('data', (chunk: Uint8Array) => {
      if (!this.#over) sink.chunk(chunk);
    });
  }

  /** libuv before Node 22 may report a reset as an end. A socket that was reset has no peer any more; one that was ended has. */
  #checkPeer(socket: Socket): void {
    if (socket.remoteAddress === undefined) this.#fail(lost('ECONNRESET'));
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#sink.end();
  }

  #fail(failure: Fault): void {
    if (this.#over) return;
    this.#over = true;
    this.#sink.fail(failure);
    this.#request?.destroy(); // Rule 4
  }
}

/** Once for each socket. Deno reports a reset also after the request has gone. */
function watchErrors(socket: Socket): void {
  if (!socket.listeners('error').includes(ignore)) socket.on('error', ignore);
}

function ignore(): void {}

const lost = (why: unknown): Fault => fault('disconnected', `The connection was lost: ${String(why)}`);

/** If it has a body. */
const isEndedBySocket = ({ headers }: IncomingMessage): boolean =>
  headers['content-length'] === undefined && headers['transfer-encoding'] === undefined;

function headersOf({ headers }: IncomingMessage): ResponseHeaders {
  return {
    get(name) {
      const value = headers[name.toLowerCase()];
      return value === undefined ? null : Array.isArray(value) ? value.join(', ') : value;
    },
  };
}
