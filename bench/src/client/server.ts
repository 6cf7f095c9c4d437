/**
 * The server of the client's benchmarks, in a process of its own: bytes as fast as they are taken, and live streams that tell
 * `rate` events a second each. Ends with its parent.
 */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { encodeFrame } from '@holdfast/protocol/sse';

const CHUNK = Buffer.alloc(65_536, 120);

function sendBytes(response: ServerResponse, total: number): void {
  let sent = 0;
  const pump = (): void => {
    while (sent < total) {
      sent += CHUNK.length;
      if (!response.write(CHUNK)) return void response.once('drain', pump);
    }
    response.end();
  };
  pump();
}

function tellEvents(response: ServerResponse, rate: number): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const hello = { protocol: 1, build: 'bench', heartbeatMs: 15_000 };
  response.write(encodeFrame({ event: 'hello', data: JSON.stringify(hello) }));
  let seq = 0;
  const tell = (): void => {
    seq++;
    const entry = {
      type: 'text-delta',
      turnId: 't_1',
      messageId: 'a_1',
      text: ' token',
      seq,
      at: '2026-01-01T00:00:00Z',
    };
    response.write(encodeFrame({ id: `${seq}.0badcafe`, event: 'text-delta', data: JSON.stringify(entry) }));
  };
  // Streams do not beat in step.
  let timer: NodeJS.Timeout | undefined;
  const start = setTimeout(() => (timer = setInterval(tell, 1000 / rate)), Math.random() * (1000 / rate));
  response.on('close', () => {
    clearTimeout(start);
    clearInterval(timer);
  });
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://bench');
  if (pathname === '/bytes') sendBytes(response, Number(searchParams.get('bytes')));
  else tellEvents(response, 50);
});
server.listen(0, '127.0.0.1', () => process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
process.on('disconnect', () => process.exit(0));
