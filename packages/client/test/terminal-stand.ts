/** A real gateway with real ptys, a proxy that can break every connection, and terminals through it. */
import { createHash } from 'node:crypto';

import { configOf, startGateway, type Config, type RunningGateway } from '@holdfast/gateway';
import { startFaultProxy, type FaultPlan, type FaultProxy } from '@holdfast/testing/fault-proxy';
import { onTestFinished } from 'vitest';

import { createCredentials, TerminalClient, type Terminal, type Transport } from '../src/index.ts';
import { nodeTransport } from '../src/node/index.ts';

export const TOKEN = 'hf_root_of_the_tests';

export interface TerminalStand {
  readonly gateway: RunningGateway;
  readonly proxy: FaultProxy;
  /** What the proxy does to connections from now on. */
  plan: (connection: number) => FaultPlan;
  readonly terminals: TerminalClient;
  /** Past the proxy. */
  ask(method: string, path: string, body?: unknown): Promise<{ readonly status: number; readonly body: unknown }>;
}

export async function openTerminalStand(
  changes: Partial<Config['terminals']> = {},
  wrap: (transport: Transport) => Transport = (transport) => transport,
): Promise<TerminalStand> {
  const defaults = configOf({});
  const gateway = await startGateway(
    configOf({
      port: 0,
      store: { kind: 'memory' },
      token: TOKEN,
      log: 'silent',
      drainMs: 100,
      terminals: { ...defaults.terminals, on: 'on', ...changes },
    }),
  );
  let stand: TerminalStand | undefined;
  const proxy = await startFaultProxy({ target: { port: gateway.port }, plan: (n) => stand?.plan(n) ?? {} });
  const transport = wrap(nodeTransport());
  onTestFinished(async () => {
    transport.close();
    await proxy.close();
    await gateway.close();
  });
  const terminals = new TerminalClient({
    baseUrl: proxy.origin,
    transport,
    credentials: createCredentials({ token: TOKEN }),
    // Pauses are short, so that a test is: the jitter's dice always fall low.
    ports: { random: () => 0.02 },
  });
  const ask: TerminalStand['ask'] = async (method, path, body) => {
    const response = await fetch(gateway.url + path, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as unknown };
  };
  stand = { gateway, proxy, plan: () => ({}), terminals, ask };
  return stand;
}

/** A program that prints these bytes and nothing else: no newline is turned into two. */
export const printing = (bytes: number, seed: number): readonly string[] => [
  process.execPath,
  '-e',
  `require('node:child_process').execFileSync('stty', ['raw', '-echo'], { stdio: 'inherit' });
   (${pattern.toString()})(${bytes}, ${seed}, (piece) => require('node:fs').writeSync(1, piece))`,
];

/** The same pieces on both sides: not text, and each at one place alone. */
export function pattern(bytes: number, seed: number, take: (piece: Uint8Array) => number): void {
  let state = seed >>> 0;
  const piece = new Uint8Array(16_384);
  for (let at = 0; at < bytes;) {
    const length = Math.min(piece.length, bytes - at);
    for (let i = 0; i < length; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      piece[i] = state >>> 24;
    }
    for (let sent = 0; sent < length;) sent += take(piece.subarray(sent, length));
    at += length;
  }
}

export function hashOfPattern(bytes: number, seed: number): string {
  const hash = createHash('sha256');
  pattern(bytes, seed, (piece) => {
    hash.update(piece);
    return piece.length;
  });
  return hash.digest('hex');
}

/** All that comes, checked for holes on its way. */
export async function readAll(
  terminal: Terminal,
  each: (offset: number) => Promise<void> | void = () => undefined,
): Promise<{ readonly bytes: number; readonly hash: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of terminal) {
    if (chunk.offset !== bytes) throw new Error(`A hole: ${bytes} to ${chunk.offset}`);
    hash.update(chunk.bytes);
    bytes += chunk.bytes.length;
    await each(bytes);
  }
  return { bytes, hash: hash.digest('hex') };
}

/** What a terminal printed so far, as text; waits until this is in it. */
export async function textUntil(
  chunks: AsyncIterator<{ readonly bytes: Uint8Array }>,
  wanted: RegExp,
): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  while (!wanted.test(text)) {
    const next = await chunks.next();
    if (next.done === true) throw new Error(`It ended after ${JSON.stringify(text)}`);
    text += decoder.decode(next.value.bytes, { stream: true });
  }
  return text;
}

/** Seeded numbers in [0, 1). */
export function diceOf(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
}
