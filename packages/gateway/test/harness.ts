/**
 * A real gateway on a real port, in memory, and what a test needs to talk to it.
 */
import { systemClock as logClock, type Log } from '@holdfast/log';
import { openMemoryLog } from '@holdfast/log/memory';
import { createSseDecoder, type SseEvent } from '@holdfast/protocol/sse-decode';
import type { Scope } from '@holdfast/protocol/schema';
import { onTestFinished } from 'vitest';
import { configOf, startGateway, type Config, type GatewayOptions, type RunningGateway } from '../src/index.ts';
import { createLogger } from '../src/logger.ts';
import { expectFrame, expectReply } from './replies.ts';

export const ROOT = 'hf_root_of_the_tests';

// oxlint-disable-next-line typescript/no-explicit-any -- a test looks at what came
export type Json = any;
export type StreamEvent = SseEvent & { readonly json: Json };

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Json;
}

export interface Api {
  readonly url: string;
  readonly gateway: RunningGateway;
  readonly log: Log;
  readonly logLines: string[];
  call(
    method: string,
    path: string,
    body?: unknown,
    init?: { readonly token?: string | null; readonly headers?: Record<string, string> },
  ): Promise<Answer>;
  stream(
    path: string,
    init?: { readonly token?: string; readonly headers?: Record<string, string>; readonly body?: unknown },
  ): Promise<EventReader>;
  issue(subject: string, ...scopes: Scope[]): Promise<{ readonly tokenId: string; readonly token: string }>;
  session(token?: string): Promise<string>;
  send(sessionId: string, text: string, more?: object): Promise<Answer>;
}

export async function openApi(changes: Partial<Config> = {}, options: GatewayOptions = {}): Promise<Api> {
  const log = options.log ?? openMemoryLog({ clock: logClock });
  const logLines: string[] = [];
  const logger = createLogger('debug', { write: (line: string) => void logLines.push(line) });
  const config = configOf({ port: 0, store: { kind: 'memory' }, token: ROOT, log: 'debug', drainMs: 200, ...changes });
  const gateway = await startGateway(config, { log, logger, ...options });
  onTestFinished(async () => {
    await gateway.close();
    if (options.log === undefined) await log.close();
  });
  const { url } = gateway;

  const call: Api['call'] = async (method, path, body, { token = ROOT, headers = {} } = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true;
    const answer: Json = isJson && text !== '' && !text.includes('\n') ? JSON.parse(text) : undefined;
    expectReply(gateway.routes, `${method} ${path}`, response.status, answer);
    return { status: response.status, headers: response.headers, text, body: answer };
  };

  return {
    url,
    gateway,
    log,
    logLines,
    call,
    stream: (path, init = {}) => EventReader.open(url + path, { token: ROOT, ...init }),
    issue: async (subject, ...scopes) => {
      const { body } = await call('POST', '/v1/tokens', { subject, scopes });
      return { tokenId: body.tokenId, token: body.accessToken };
    },
    session: async (token = ROOT) => (await call('POST', '/v1/sessions', {}, { token })).body.session.sessionId,
    send: (sessionId, text, more = {}) => call('POST', `/v1/sessions/${sessionId}/messages`, { text, ...more }),
  };
}

/** The events of one stream, one after the other. */
export class EventReader {
  readonly response: Response;
  /** How the connection ended, once it has. */
  end: 'clean' | 'broken' | undefined;
  readonly #abort: AbortController;
  readonly #events: SseEvent[] = [];
  readonly #comments: string[] = [];
  #wake: () => void = () => undefined;

  private constructor(response: Response, abort: AbortController) {
    this.response = response;
    this.#abort = abort;
    void this.#pump();
  }

  static async open(
    url: string,
    {
      token,
      headers = {},
      body,
    }: { readonly token?: string; readonly headers?: Record<string, string>; readonly body?: unknown },
  ): Promise<EventReader> {
    const abort = new AbortController();
    const response = await fetch(url, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      signal: abort.signal,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const reader = new EventReader(response, abort);
    onTestFinished(() => abort.abort());
    return reader;
  }

  get comments(): readonly string[] {
    return this.#comments;
  }

  /** The next event; throws where the stream ended before it. */
  async next(): Promise<StreamEvent> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) {
        const json: Json = JSON.parse(event.data);
        expectFrame(event.event, json);
        return { ...event, json };
      }
      if (this.end !== undefined) throw new Error(`The stream ended ${this.end}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Up to and with the first event that this is true of. */
  async until(isLast: (event: StreamEvent) => boolean): Promise<StreamEvent[]> {
    const events = [];
    for (;;) {
      const event = await this.next();
      events.push(event);
      if (isLast(event)) return events;
    }
  }

  untilType(type: string): Promise<StreamEvent[]> {
    return this.until(({ event }) => event === type);
  }

  async comment(): Promise<void> {
    const count = this.#comments.length;
    while (this.#comments.length === count && this.end === undefined)
      await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  async ended(): Promise<'clean' | 'broken'> {
    while (this.end === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.end;
  }

  close(): void {
    this.#abort.abort();
  }

  async #pump(): Promise<void> {
    const decoder = createSseDecoder({
      event: (event) => {
        this.#events.push(event);
        this.#wake();
      },
      comment: (text) => {
        this.#comments.push(text);
        this.#wake();
      },
    });
    try {
      for await (const chunk of this.response.body ?? []) decoder.push(chunk);
      this.end = 'clean';
    } catch {
      this.end = 'broken';
    }
    this.#wake();
  }
}

export const textOf = (events: readonly { readonly event: string; readonly json: Json }[]): string =>
  events
    .filter(({ event }) => event === 'text-delta')
    .map(({ json }) => json.text as string)
    .join('');
