/**
 * A model server on a real socket, scripted reply by reply: it streams, stalls, errors and dies as real ones do.
 */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface SeenRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  // oxlint-disable-next-line typescript/no-explicit-any -- a test looks wherever it likes
  readonly body: any;
  /** Resolves when the connection of this request has closed. */
  readonly closed: Promise<void>;
}

export type Reply = (response: ServerResponse, request: SeenRequest) => void | Promise<void>;

export interface ModelServer {
  readonly url: string;
  /** Of the chat; in order. */
  readonly requests: readonly SeenRequest[];
  /** What other paths answer; 404 where there is nothing. */
  readonly pages: Map<string, unknown>;
  /** Replies to the next requests, one each. The last one is for all that follow. */
  reply(...replies: readonly Reply[]): void;
}

export async function startModelServer(): Promise<ModelServer> {
  const requests: SeenRequest[] = [];
  const pages = new Map<string, unknown>();
  let replies: readonly Reply[] = [];
  const server = createServer((incoming, response) => {
    const closed = new Promise<void>((resolve) => response.once('close', resolve));
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const path = incoming.url ?? '';
      const text = Buffer.concat(chunks).toString();
      const request = {
        path,
        headers: incoming.headers,
        body: text === '' ? null : (JSON.parse(text) as unknown),
        closed,
      };
      if (!path.endsWith('/chat/completions')) {
        const page = pages.get(path);
        response.writeHead(page === undefined ? 404 : 200, { 'content-type': 'application/json' });
        response.end(JSON.stringify(page ?? { error: { message: 'not here' } }));
        return;
      }
      requests.push(request);
      const [next = status(500), ...rest] = replies;
      if (rest.length > 0) replies = rest;
      void next(response, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    pages,
    reply: (...given) => {
      replies = given;
    },
  };
}

// ── replies ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export const sse = (items: readonly unknown[]): string =>
  items.map((item) => `data: ${typeof item === 'string' ? item : JSON.stringify(item)}\n\n`).join('');

export const delta = (fields: Record<string, unknown>, finish: string | null = null): unknown => ({
  choices: [{ index: 0, delta: fields, finish_reason: finish }],
});

export const usage = (input: number, output: number): unknown => ({
  choices: [],
  usage: { prompt_tokens: input, completion_tokens: output },
});

/** An ordinary streamed answer of these texts. */
export const says = (...texts: readonly string[]): Reply =>
  streams([...texts.map((content) => delta({ content })), delta({}, 'stop'), usage(10, texts.length), '[DONE]']);

export interface TestCall {
  readonly id?: string;
  readonly name: string;
  readonly arguments: string;
}

/** An answer that calls tools, each argument text in two halves. */
export const calls = (...given: readonly TestCall[]): Reply =>
  streams([
    ...given.flatMap(({ id, name, arguments: text }, index) => {
      const half = Math.floor(text.length / 2);
      return [
        delta({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: text.slice(0, half) } }] }),
        delta({ tool_calls: [{ index, function: { arguments: text.slice(half) } }] }),
      ];
    }),
    delta({}, 'tool_calls'),
    '[DONE]',
  ]);

export function streams(items: readonly unknown[], end: 'end' | 'die' | 'stall' = 'end', bytesAtOnce = 0): Reply {
  return async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    const bytes = Buffer.from(sse(items));
    const step = bytesAtOnce === 0 ? bytes.length : bytesAtOnce;
    for (let at = 0; at < bytes.length; at += step) {
      response.write(bytes.subarray(at, at + step));
      if (bytesAtOnce > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    response.flushHeaders();
    if (end === 'end') response.end();
    if (end === 'die')
      await new Promise<void>((resolve) => response.write('', () => resolve(void response.socket?.destroy())));
  };
}

export const status =
  (code: number, body: unknown = {}, headers: Record<string, string> = {}): Reply =>
  (response) => {
    response.writeHead(code, { 'content-type': 'application/json', ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };

/** Takes the request and says nothing. */
export const nothing: Reply = () => {};

/** Closes the connection without an answer. */
export const hangUp: Reply = (response) => void response.socket?.destroy();
