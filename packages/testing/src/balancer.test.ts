import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { startBalancer, type Balancer } from './balancer.ts';

/** Answers every line with its own name and the line. */
async function startEcho(name: string): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (data) => void socket.write(`${name} ${data.toString()}`));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = async (): Promise<void> => {
    for (const socket of sockets) socket.resetAndDestroy();
    await new Promise((resolve) => server.close(resolve));
  };
  onTestFinished(stop);
  return { port: (server.address() as AddressInfo).port, stop };
}

async function open(balancer: Balancer): Promise<Socket> {
  const socket = connect(balancer.port, '127.0.0.1');
  socket.setEncoding('utf8').on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

async function say(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [answer] = (await once(socket, 'data')) as [string];
  return answer;
}

async function balancerOver(...targets: readonly { readonly port: number }[]): Promise<Balancer> {
  const balancer = await startBalancer(targets.map(({ port }) => port));
  onTestFinished(() => balancer.close());
  return balancer;
}

test('connections go to the targets in turn, and past one that nobody listens at; an open one stays where it is', async () => {
  const [a, b] = [await startEcho('a'), await startEcho('b')];
  const balancer = await balancerOver(a, b);
  const first = await open(balancer);
  expect(await say(first, '1')).toBe('a 1');
  expect(await say(await open(balancer), '2')).toBe('b 2');
  await b.stop();
  for (const n of ['3', '4']) expect(await say(await open(balancer), n)).toBe(`a ${n}`);
  balancer.route([]);
  expect(await say(first, '5')).toBe('a 5');
});

test('silent, nothing moves and nobody is told; what was sent meanwhile arrives late', async () => {
  const balancer = await balancerOver(await startEcho('a'));
  const before = await open(balancer);
  expect(await say(before, '1')).toBe('a 1');
  balancer.silence();
  const during = await open(balancer);
  const answers = [say(before, '2'), say(during, '3')];
  const early = await Promise.race([...answers, new Promise((resolve) => setTimeout(resolve, 100, 'silence'))]);
  expect(early).toBe('silence');
  balancer.speak();
  expect(await Promise.all(answers)).toEqual(['a 2', 'a 3']);
});

test('a target that dies resets its clients; with no target a connection waits for one', async () => {
  const a = await startEcho('a');
  const balancer = await balancerOver(a);
  const client = await open(balancer);
  await say(client, '1');
  const ended = new Promise((resolve) => client.once('close', resolve));
  await a.stop();
  await ended;
  balancer.route([]);
  const waiting = say(await open(balancer), '2');
  balancer.route([(await startEcho('b')).port]);
  expect(await waiting).toBe('b 2');
});
