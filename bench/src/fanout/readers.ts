/**
 * Readers on plain sockets, as a process of its own: `readers.ts PORT SESSIONS`. They count events and take the time from each one's making to
 * its arrival, and do as little else as they can.
 */
import { connect } from 'node:net';

const [portText = '', sessionsText = ''] = process.argv.slice(2);
const latenciesMs: number[] = [];
let events = 0;
let counting = false;

function take(chunk: Buffer): void {
  if (!counting) return;
  const nowMs = performance.timeOrigin + performance.now();
  for (let at = chunk.indexOf('"@'); at >= 0; at = chunk.indexOf('"@', at + 2)) {
    const end = chunk.indexOf('@', at + 2);
    if (end < 0) return;
    events += 1;
    // One in eight is enough for a percentile.
    if (events % 8 === 0) latenciesMs.push(nowMs - Number(chunk.toString('latin1', at + 2, end)));
  }
}

await Promise.all(
  Array.from(
    { length: Number(sessionsText) },
    (_, session) =>
      new Promise<void>((resolve, reject) => {
        const socket = connect(Number(portText), '127.0.0.1');
        socket.setNoDelay(true);
        socket.on('error', reject);
        socket.write(
          `GET /v1/sessions/s_${session}/events?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer hf_bench\r\n\r\n`,
        );
        socket.once('data', () => {
          socket.on('data', take);
          resolve();
        });
      }),
  ),
);
process.send?.({ ready: true });
process.on('message', (message) => {
  if (message === 'start') counting = true;
  else process.send?.({ events, latenciesMs });
});
process.on('disconnect', () => process.exit(0));
