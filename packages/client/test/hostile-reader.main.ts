/**
 * `hostile-reader.main.ts ORIGIN STREAMS`: reads that many streams of `hostile-server.ts` in a process that must exit by itself, and
 * says what was wrong. Whatever is raised outside a `catch` ends it.
 *
 * Some readers are held until the peer has ended; all marks, framings, ends and sizes take their turns.
 */
import {
  fetchTransport,
  FaultError,
  openByteStream,
  type ByteStreamRequest,
  type SafeByteStream,
} from '@holdfast/client';

import { patternHolds } from '../src/testing/pattern.ts';
import { FRAMINGS } from './hostile-server.ts';

const [origin = '', streams = '2000'] = process.argv.slice(2);
const MARKS = [
  { highWaterBytes: 0, lowWaterBytes: 0 },
  { highWaterBytes: 1, lowWaterBytes: 1 },
  { highWaterBytes: 4096, lowWaterBytes: 1024 },
  { highWaterBytes: 65_536, lowWaterBytes: 1 },
  { highWaterBytes: 262_144, lowWaterBytes: 262_144 },
  {},
];
const READERS = 40;
const wrong: string[] = [];

const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));
const turn = <T>(values: readonly T[], index: number): T => values[index % values.length] as T;

function open(index: number, request: ByteStreamRequest): Promise<{ readonly body: SafeByteStream }> {
  return index % 2 === 0 ? openByteStream(request) : openByteStream(fetchTransport().open(), request);
}

async function readOne(index: number): Promise<void> {
  const framing = turn(FRAMINGS, index);
  const end = turn(['end', 'reset'], Math.floor(index / FRAMINGS.length));
  const marks = turn(MARKS, Math.floor(index / 7));
  // From nothing to 2 MiB, as many below 1 KiB as above.
  const bytes = Math.floor(2 ** (((index * 0.618_034) % 1) * 21)) - 1;
  const pauseMs = turn([0, 3, 10], Math.floor(index / 3));
  const url = `${origin}/?framing=${framing}&end=${end}&bytes=${bytes}&pauseMs=${pauseMs}`;
  let read = 0;
  let ending = 'end';
  try {
    const { body } = await open(index, { url, ...marks });
    await pause(turn([0, 5, 25], Math.floor(index / 11)));
    for await (const chunk of body) {
      if (!patternHolds(chunk, read)) wrong.push(`${index}: other bytes at ${read}`);
      read += chunk.length;
    }
  } catch (error) {
    if (!(error instanceof FaultError)) throw error;
    ending = error.fault.kind;
  }
  const isWhole = read === bytes && ending === 'end';
  const isLost = read <= bytes && ending === 'disconnected';
  // A reset after the last byte of a length is heard or not.
  const isRight = end === 'end' ? isWhole : isLost || (framing.endsWith('length') && isWhole);
  if (!isRight) wrong.push(`${index} ${url} ${JSON.stringify(marks)}: ${read} bytes, then ${ending}`);
}

let next = 0;
await Promise.all(
  Array.from({ length: READERS }, async () => {
    while (next < Number(streams)) await readOne(next++);
  }),
);
console.log(JSON.stringify({ streams: next, wrong }));
