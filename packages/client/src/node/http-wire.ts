/**
 * The wire in Node: streams over sockets of their own (`socket-wire.ts`), short requests over a pool of `node:http(s)`.
 *
 * `fetch` would run here too, but its buffer grows without bound under a slow reader of small chunks, and it costs twice
 * the CPU of each event.
 *
 * H1. `error` has a listener for as long as the request lives: a late one after `cancel` meets it and is told nobody.
 * H2. A response is complete only by its `end`; a `close` of it before that is a lost connection. (The request's own `close`
 *     may come while a complete response still waits, held.)
 * H3. The pool's sockets end with its agents; a drained exchange leaves its socket to the next one.
 */
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';

import { fault, type Fault } from '@holdfast/protocol/fault';

import { createTransport, type Transport } from '../transport.ts';
import type { ResponseHeaders, Wire, WireConnection, WireExchange, WireRequest, WireSink } from '../wire.ts';
import { SocketConnection } from './socket-wire.ts';

export interface NodeTransportOptions {
  /** For `https:`: a private authority, a client certificate … */
  readonly tls?: https.AgentOptions;
}

export function nodeTransport(options: NodeTransportOptions = {}): Transport {
  return createTransport(httpWire(options));
}

/** Six short requests at a time, as browsers have it. */
const SHORT_SOCKETS_MAX = 6;

function httpWire({ tls = {} }: NodeTransportOptions): Wire {
  return {
    open: () => new SocketConnection(tls),
    short: new HttpPool(tls),
  };
}

class HttpPool implements WireConnection {
  readonly #tls: https.AgentOptions;
  #plain: http.Agent | undefined;
  #secure: https.Agent | undefined;

  constructor(tls: https.AgentOptions) {
    this.#tls = tls;
  }

  send(request: WireRequest, sink: WireSink): WireExchange {
    return new HttpExchange(request, sink, (url) => this.#start(url, request));
  }

  #start(url: URL, request: WireRequest): http.ClientRequest {
    const { method, body } = request;
    // Node by itself says no length for a DELETE or a GET, and the server takes the body for the next request.
    const headers =
      body === undefined ? request.headers : { ...request.headers, 'content-length': Buffer.byteLength(body) };
    const pool = { keepAlive: true, maxSockets: SHORT_SOCKETS_MAX };
    if (url.protocol === 'https:') {
      this.#secure ??= new https.Agent({ ...this.#tls, ...pool });
      return https.request(url, { method, headers, agent: this.#secure });
    }
    this.#plain ??= new http.Agent(pool);
    return http.request(url, { method, headers, agent: this.#plain });
  }

  close(): void {
    this.#plain?.destroy();
    this.#secure?.destroy();
  }
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
    this.#request.on('response', (response) => this.#begin(response));
    this.#request.on('error', (error) => this.#fail(lost(error))); // H1
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
    this.#over = true;
    this.#request?.destroy();
  }

  #begin(response: IncomingMessage): void {
    if (this.#over) return;
    this.#response = response;
    response.on('error', (error) => this.#fail(lost(error)));
    response.on('end', () => this.#end());
    response.on('close', () => this.#fail(lost('closed in mid-response'))); // H2
    const sink = this.#sink;
    sink.head(response.statusCode ?? 0, headersOf(response));
    if (this.#over) return;
    // The flag is asked for each chunk: a cancel in mid-parse leaves the parser some more to say.
    response.on('data', (chunk: Uint8Array) => {
      if (!this.#over) sink.chunk(chunk);
    });
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
  }
}

const lost = (why: unknown): Fault => fault('disconnected', `The connection was lost: ${String(why)}`);

function headersOf({ headers }: IncomingMessage): ResponseHeaders {
  return {
    get(name) {
      const value = headers[name.toLowerCase()];
      return value === undefined ? null : Array.isArray(value) ? value.join(', ') : value;
    },
  };
}
