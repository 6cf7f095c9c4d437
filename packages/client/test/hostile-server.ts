/** A raw server of bodies without keep-alive: each ends with its connection, cleanly or by a reset, when its query says so. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';

import { patternBytes } from '../src/testing/pattern.ts';

/** `lengthless`, `close` and `http10` have no length: their end is the connection's. */
export const FRAMINGS = ['lengthless', 'close', 'http10', 'close-length', 'http10-length'] as const;
export type Framing = (typeof FRAMINGS)[number];

const headOf = (framing: Framing, bytes: number): string =>
  ({
    lengthless: 'HTTP/1.1 200 OK\r\n\r\n',
    close: 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n',
    http10: 'HTTP/1.0 200 OK\r\n\r\n',
    'close-length': `HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${bytes}\r\n\r\n`,
    'http10-length': `HTTP/1.0 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`,
  })[framing];

export interface HostileServer {
  readonly origin: string;
  close(): void;
}

export async function startHostileServer(): Promise<HostileServer> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.once('data', (request: Buffer) => answer(socket, String(request).split(' ')[1] ?? '/'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function answer(socket: Socket, target: string): void {
  const query = new URL(target, 'http://x').searchParams;
  const bytes = Number(query.get('bytes'));
  const end = (): unknown => (query.get('end') === 'reset' ? socket.resetAndDestroy() : socket.end());
  socket.write(headOf((query.get('framing') ?? 'close') as Framing, bytes));
  let sent = 0;
  const pump = (): void => {
    while (sent < bytes) {
      const chunk = patternBytes(sent, Math.min(65_536, bytes - sent));
      sent += chunk.length;
      if (!socket.write(chunk)) return void socket.once('drain', pump);
    }
    setTimeout(end, Number(query.get('pauseMs')));
  };
  pump();
}
