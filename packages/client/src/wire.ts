/**
 * The platform's floor: one HTTP request at a time over one connection's sockets. `fetch-wire.ts` and
 * `node/http-wire.ts` implement it; everything above is the same on both.
 *
 * A wire calls its sink in this order and never again after the last: `head` once, `chunk` any number of times, then
 * one of `end` and `fail`. `fail` may come instead of `head`.
 *
 * W1. Nothing is called from within `send`: the caller has the exchange before it hears of it.
 * W2. `hold` stops reading from the socket: after it at most one chunk more arrives. `flow` goes on. A new exchange flows.
 * W3. `cancel` ends the request at once, before headers too: the peer sees the socket close. After it the sink hears
 *     nothing more. It may be called at any time, any number of times.
 * W4. The wire owns no unbounded buffer: what it has read it has handed to the sink.
 */
import type { Fault } from '@holdfast/protocol/fault';

export interface WireRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array | undefined;
}

/** Response headers by lower-case name. */
export interface ResponseHeaders {
  get(name: string): string | null;
}

export interface WireSink {
  head(status: number, headers: ResponseHeaders): void;
  chunk(bytes: Uint8Array): void;
  end(): void;
  fail(fault: Fault): void;
}

export interface WireExchange {
  hold(): void;
  flow(): void;
  cancel(): void;
}

/** The sockets of one owner. Closing ends them; what is under way on them is cancelled by the caller before. */
export interface WireConnection {
  send(request: WireRequest, sink: WireSink): WireExchange;
  close(): void;
}

export interface Wire {
  /** Sockets that nobody else uses. Where the platform pools by itself (a browser), a name for a scope. */
  open(): WireConnection;
  /** The pool that short requests share. */
  readonly short: WireConnection;
}
