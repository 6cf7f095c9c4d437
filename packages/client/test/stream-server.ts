/**
 * The other side of the byte-stream suite: a bare `node:http` server that does what it is told and remembers what it saw.
 * Every route takes `key`; `/facts?key=…&until=closed` answers when the fact is there, so that nobody sleeps.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

import { patternBytes } from '../src/testing/pattern.ts';

interface Facts {
  requests: number;
  closed: number;
  ended: number;
  sentBytes: number;
  ports: number[];
  sockets: Set<Socket>;
  authorizations: string[];
  waiters: Set<() => void>;
}

export interface StreamServer {
  readonly origin: string;
  readonly port: number;
  /** Sockets that are open now. */
  sockets(): number;
  close(): Promise<void>;
}

export async function startStreamServer(
  pages: Readonly<Record<string, string>> = {},
  tls?: { readonly key: string; readonly cert: string },
): Promise<StreamServer> {
  const facts = new Map<string, Facts>();
  const sockets = new Set<Socket>();
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(request.url ?? '/', 'http://x');
    const page = pages[url.pathname];
    if (page !== undefined) {
      response.setHeader('content-type', url.pathname.endsWith('.js') ? 'text/javascript' : 'text/html').end(page);
      return;
    }
    const seen = factsOf(facts, url.searchParams.get('key') ?? '');
    if (url.pathname === '/facts') return answerFacts(seen, url, request, response);
    note(seen, (it) => {
      it.requests++;
      if (url.pathname !== '/cut') it.sockets.add(request.socket);
      it.ports.push(request.socket.remotePort ?? 0);
      it.authorizations.push(request.headers.authorization ?? '');
    });
    response.on('close', () => note(seen, (it) => (response.writableFinished ? it.ended++ : it.closed++)));
    routes[url.pathname]?.(url, request, response, seen);
  };
  const server = tls === undefined ? createServer(answer) : createSecureServer(tls, answer);
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const scheme = tls === undefined ? 'http' : 'https';
  return {
    origin: `${scheme}://127.0.0.1:${port}`,
    port,
    sockets: () => sockets.size,
    close: () => closeServer(server),
  };
}

function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

function factsOf(all: Map<string, Facts>, key: string): Facts {
  let facts = all.get(key);
  if (facts === undefined) {
    facts = {
      requests: 0,
      closed: 0,
      ended: 0,
      sentBytes: 0,
      ports: [],
      authorizations: [],
      sockets: new Set(),
      waiters: new Set(),
    };
    all.set(key, facts);
  }
  return facts;
}

function note(facts: Facts, change: (facts: Facts) => unknown): void {
  change(facts);
  for (const waiter of facts.waiters) waiter();
}

function answerFacts(facts: Facts, url: URL, request: IncomingMessage, response: ServerResponse): void {
  const until = url.searchParams.get('until') as 'requests' | 'closed' | 'ended' | null;
  const count = Number(url.searchParams.get('count') ?? 1);
  const check = (): void => {
    if (until !== null && facts[until] < count) return;
    facts.waiters.delete(check);
    const { waiters: _, sockets: __, ...told } = facts;
    response.setHeader('content-type', 'application/json').end(JSON.stringify(told));
  };
  facts.waiters.add(check);
  request.on('close', () => facts.waiters.delete(check));
  check();
}

type Route = (url: URL, request: IncomingMessage, response: ServerResponse, facts: Facts) => void;

const routes: Readonly<Record<string, Route>> = {
  /** Accepts and never answers. */
  '/never': () => {},
  /** A head, and then nothing. */
  '/head': (_url, _request, response) => response.writeHead(200).flushHeaders(),
  /**
   * `bytes` of the pattern in chunks of `chunk`, as fast as the socket takes them; `hang` keeps it open at the end. `no-store`
   * as every stream for a browser has it: without, Chromium reads on by itself, up to 50 MiB ahead of a slow reader.
   */
  '/bytes': (url, _request, response, facts) => {
    const total = Number(url.searchParams.get('bytes'));
    const size = Number(url.searchParams.get('chunk') ?? 65_536);
    const end = url.searchParams.get('end') ?? 'clean';
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' }).flushHeaders();
    const pump = (): void => {
      while (facts.sentBytes < total) {
        const bytes = patternBytes(facts.sentBytes, Math.min(size, total - facts.sentBytes));
        facts.sentBytes += bytes.length;
        if (!response.write(bytes)) return void response.once('drain', pump);
      }
      if (end === 'clean') response.end();
    };
    pump();
  },
  /** Closes the sockets of the other requests with this key, in mid-response. */
  '/cut': (_url, _request, response, facts) => {
    for (const socket of facts.sockets) socket.end();
    response.end();
  },
  /** The chunks of the request's body (JSON, base64 each), one write at a time. */
  '/script': (url, request, response) => {
    void readBody(request).then(async (body) => {
      response.writeHead(200).flushHeaders();
      for (const chunk of JSON.parse(body) as string[]) {
        await new Promise<void>((resolve) => response.write(Buffer.from(chunk, 'base64'), () => resolve()));
      }
      if (url.searchParams.get('end') !== 'hang') response.end();
    });
  },
  /** 200 with the body back for the bearer `good`, otherwise 401 with a body of `bytes`; `end=hang`: of which there would be more. */
  '/guarded': (url, request, response) => {
    void readBody(request).then((body) => {
      if (request.headers.authorization === 'Bearer good') response.end(body);
      else {
        response.writeHead(401).write('x'.repeat(Number(url.searchParams.get('bytes') ?? 10)));
        if (url.searchParams.get('end') !== 'hang') response.end();
      }
    });
  },
  '/status': (url, _request, response) => void response.writeHead(Number(url.searchParams.get('status'))).end('body'),
};

async function readBody(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}
