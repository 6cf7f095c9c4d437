/**
 * A terminal through a gateway in a process of its own, read and typed to by the client over HTTP, beside a bare pty in this process: how many bytes a
 * second a program prints, and how long a key takes until it is seen. In turns, the middle round of three.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createCredentials, TerminalClient } from '@holdfast/client';
import { nodeTransport } from '@holdfast/client/node';
import { spawn } from '@lydell/node-pty';
import { percentile, rounded, type BenchOptions, type BenchResult } from './bench.ts';

const GATEWAY = fileURLToPath(new URL('terminal/gateway.ts', import.meta.url));
const MIB = 1024 * 1024;
const BYTES = 32 * MIB;
const KEYS = 500;
const ROUNDS = 3;
const PRINT = [
  'sh',
  '-c',
  `stty raw; yes 'a line of what a compiler would have to say of this file' | head -c ${BYTES}`,
];
const ECHO = ['sh', '-c', 'stty raw -echo; echo ready; exec cat'];

interface Measured {
  readonly mibPerSecond: number;
  readonly keyP50Ms: number;
  readonly keyP99Ms: number;
}

/** A process on a pty, however it is reached. */
interface Screen {
  /** Each chunk's length; ends with the process. */
  read(take: (bytes: number) => void): Promise<void>;
  type(key: string): void;
  end(): void;
}

type Open = (command: readonly string[]) => Promise<Screen>;

const openBare: Open = async ([file = '', ...args]) => {
  const pty = spawn(file, args, { encoding: null });
  const ended = new Promise<void>((resolve) => pty.onExit(() => resolve()));
  return {
    read: async (take) => {
      // With no encoding it is bytes that come.
      pty.onData((bytes) => take(bytes.length));
      await ended;
    },
    type: (key) => pty.write(key),
    end: () => pty.kill(),
  };
};

function openThrough(terminals: TerminalClient): Open {
  return async (command) => {
    const terminal = await terminals.open({ command });
    return {
      read: async (take) => {
        for await (const { bytes } of terminal) take(bytes.length);
      },
      type: (key) => void terminal.write(key),
      end: () => void terminal.close(),
    };
  };
}

async function print(open: Open): Promise<number> {
  const screen = await open(PRINT);
  const startedMs = performance.now();
  let bytes = 0;
  let lastMs = startedMs;
  await screen.read((more) => {
    bytes += more;
    lastMs = performance.now();
  });
  // The library drops what a process that has exited printed last: what has come is what counts.
  return bytes / MIB / ((lastMs - startedMs) / 1_000);
}

/** One key after the other, each when the one before was seen. */
async function type(open: Open): Promise<readonly number[]> {
  const screen = await open(ECHO);
  const timesMs: number[] = [];
  let typedMs: number | undefined;
  await screen.read(() => {
    if (typedMs !== undefined) timesMs.push(performance.now() - typedMs);
    if (timesMs.length === KEYS) return screen.end();
    typedMs = performance.now();
    screen.type('x');
  });
  return timesMs;
}

async function measure(open: Open): Promise<Measured> {
  const mibPerSecond = await print(open);
  const keysMs = await type(open);
  return { mibPerSecond, keyP50Ms: percentile(keysMs, 50), keyP99Ms: percentile(keysMs, 99) };
}

const middle = (rounds: readonly Measured[], of: keyof Measured): number =>
  percentile(
    rounds.map((round) => round[of]),
    50,
  );

export async function run(_options: BenchOptions): Promise<BenchResult> {
  const gateway = fork(GATEWAY);
  const [{ port }] = (await once(gateway, 'message')) as [{ readonly port: number }];
  const transport = nodeTransport();
  const baseUrl = `http://127.0.0.1:${port}`;
  const terminals = new TerminalClient({ baseUrl, transport, credentials: createCredentials({ token: 'hf_bench' }) });
  try {
    const bare: Measured[] = [];
    const through: Measured[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      bare.push(await measure(openBare));
      through.push(await measure(openThrough(terminals)));
    }
    const row = (rounds: readonly Measured[]): Record<string, number> => ({
      'MiB/s': rounded(middle(rounds, 'mibPerSecond')),
      'key to screen p50 ms': rounded(middle(rounds, 'keyP50Ms')),
      'p99 ms': rounded(middle(rounds, 'keyP99Ms')),
    });
    const ratio = rounded(middle(through, 'mibPerSecond') / middle(bare, 'mibPerSecond'));
    return {
      rows: [
        { case: 'a bare pty', figures: row(bare) },
        { case: 'through the gateway', figures: { ...row(through), 'of the bare one': ratio } },
      ],
      goals: [
        { what: 'bytes a second of a bare pty', got: ratio, atLeast: 0.5 },
        { what: 'key to screen, p50 ms', got: rounded(middle(through, 'keyP50Ms')), atMost: 10 },
      ],
    };
  } finally {
    transport.close();
    gateway.disconnect();
  }
}
