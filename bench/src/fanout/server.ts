/**
 * One way of sending events to many readers, as a process of its own: `server.ts KIND SESSIONS PER_SECOND`. Each session has one reader and
 * gets its own events, at a steady rate, spread over the time. Told `start` and `stop`, it reports the CPU that it used between.
 */
import { createServer as createHttpServer, type ServerResponse } from 'node:http';
import { createServer as createNetServer, type Socket } from 'node:net';
import { createSession, type Session } from 'better-sse';
import { Hono } from 'hono';
import { streamSSE, type SSEStreamingApi } from 'hono/streaming';
import { getRequestListener } from '@hono/node-server';
import { configOf, startGateway } from '@holdfast/gateway';
import { systemClock } from '@holdfast/log';
import { openMemoryLog } from '@holdfast/log/memory';

const [kind = '', sessionsText = '', rateText = ''] = process.argv.slice(2);
const sessions = Number(sessionsText);
const perSecond = Number(rateText);

/** Sends an event to a session's reader. */
type Send = (session: number, seq: number, body: string) => void;
interface Subject {
  readonly port: number;
  readonly send: Send;
}

/** The frame that everybody sends, about 190 bytes with its entry. */
const frameOf = (seq: number, body: string): string =>
  `id: ${seq}.00c0ffee\nevent: text-delta\ndata: {"seq":${seq},"at":"2026-01-01T00:00:00.000Z",${body.slice(1)}\n\n`;
const HEAD = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' };
const sessionOf = (url: string): number => Number(/s_(\d+)/.exec(url)?.[1]);

const portOf = (server: { address(): unknown }): number => (server.address() as { port: number }).port;

const SUBJECTS: Readonly<Record<string, () => Promise<Subject>>> = {
  net: async () => {
    const sockets = new Map<number, Socket>();
    const server = createNetServer((socket) => {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.once('data', (chunk) => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n');
        sockets.set(sessionOf(chunk.toString('latin1')), socket);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { port: portOf(server), send: (session, seq, body) => void sockets.get(session)?.write(frameOf(seq, body)) };
  },

  'res.write': async () => {
    const responses = new Map<number, ServerResponse>();
    const server = createHttpServer({ noDelay: true }, (request, response) => {
      response.writeHead(200, HEAD);
      response.flushHeaders();
      responses.set(sessionOf(request.url ?? ''), response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      port: portOf(server),
      send: (session, seq, body) => void responses.get(session)?.write(frameOf(seq, body)),
    };
  },

  'better-sse': async () => {
    const open = new Map<number, Session>();
    const server = createHttpServer({ noDelay: true }, (request, response) => {
      void createSession(request, response).then((session) => open.set(sessionOf(request.url ?? ''), session));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      port: portOf(server),
      send: (session, seq, body) => void open.get(session)?.push(JSON.parse(body), 'text-delta', `${seq}.00c0ffee`),
    };
  },

  hono: async () => {
    const streams = new Map<number, SSEStreamingApi>();
    const app = new Hono();
    app.get('*', (c) =>
      streamSSE(c, async (stream) => {
        streams.set(sessionOf(c.req.path), stream);
        await new Promise<void>((resolve) => stream.onAbort(resolve));
      }),
    );
    const server = createHttpServer(
      { noDelay: true },
      (request, response) => void getRequestListener(app.fetch)(request, response),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      port: portOf(server),
      send: (session, seq, body) =>
        void streams.get(session)?.writeSSE({ id: `${seq}.00c0ffee`, event: 'text-delta', data: body }),
    };
  },

  holdfast: () => gateway(),
  /** The same without readers: what the appends alone cost. */
  'holdfast log': () => gateway(),
};

async function gateway(): Promise<Subject> {
  const log = openMemoryLog({ clock: systemClock });
  const config = configOf({ port: 0, store: { kind: 'memory' }, log: 'silent', token: 'hf_bench' });
  const running = await startGateway(config, { log });
  const encoder = new TextEncoder();
  for (let n = 0; n < sessions; n += 1) await log.create(`session/s_${n}`, { contentType: 'application/json' });
  return {
    port: running.port,
    send: (session, _seq, body) => void log.append(`session/s_${session}`, { records: [encoder.encode(body)] }),
  };
}

const subject = await SUBJECTS[kind]!();
process.send?.({ port: subject.port });

/** Rounds of five milliseconds, each with its share of the sessions. */
const ROUND_MS = 5;
let sent = 0;
let timer: NodeJS.Timeout | undefined;
let cpu = process.cpuUsage();

function start(): void {
  cpu = process.cpuUsage();
  sent = 0;
  const startedMs = performance.now();
  timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startedMs) / 1_000) * perSecond * sessions);
    const now = (performance.timeOrigin + performance.now()).toFixed(3);
    const body = `{"type":"text-delta","turnId":"t_0123456789abcdef","messageId":"a_0123456789abcdef","text":"@${now}@ of the lighthouse keeper"}`;
    for (; sent < due; sent += 1) subject.send(sent % sessions, 1 + Math.floor(sent / sessions), body);
  }, ROUND_MS);
}

process.on('message', (message) => {
  if (message === 'start') return start();
  clearInterval(timer);
  // What was sent in the last round is still on its way to the kernel.
  setTimeout(() => {
    const { user, system } = process.cpuUsage(cpu);
    process.send?.({
      sent,
      user,
      system,
      cpuMicros: user + system,
      rssMib: Math.round(process.memoryUsage.rss() / 2 ** 20),
    });
  }, 300);
});
process.on('disconnect', () => process.exit(0));
