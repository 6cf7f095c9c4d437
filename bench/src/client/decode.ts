/** Decoding events from bytes: ours, the least that could work, and `eventsource-parser`, on the same chunks. */
import { createSseDecoder } from '@holdfast/protocol/sse-decode';
import { createParser } from 'eventsource-parser';
import type { BenchRow, Goal } from '../bench.ts';

type Feed = (bytes: Uint8Array) => void;

/** Kept, so that nothing that is decoded can be left out. */
let charsSeen = 0;

const DECODERS: Readonly<Record<'ours' | 'minimal' | 'peer', () => Feed>> = {
  ours() {
    const decoder = createSseDecoder({ event: ({ data }) => void (charsSeen += data.length) });
    return (bytes) => void decoder.push(bytes);
  },
  minimal,
  peer() {
    const parser = createParser({ onEvent: ({ data }) => void (charsSeen += data.length) });
    const decoder = new TextDecoder();
    return (bytes) => parser.feed(decoder.decode(bytes, { stream: true }));
  },
};

/** LF only, no comments, no limits, no split characters to care for beyond the platform's. */
function minimal(): Feed {
  const decoder = new TextDecoder();
  let text = '';
  return (bytes) => {
    text += decoder.decode(bytes, { stream: true });
    let from = 0;
    for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n', from)) {
      const event = { id: '', event: '', data: '' };
      for (let at = from; at < end;) {
        const lineEnd = Math.min(text.indexOf('\n', at), end);
        if (text.startsWith('data: ', at)) event.data = text.slice(at + 6, lineEnd);
        else if (text.startsWith('id: ', at)) event.id = text.slice(at + 4, lineEnd);
        else if (text.startsWith('event: ', at)) event.event = text.slice(at + 7, lineEnd);
        at = lineEnd + 1;
      }
      charsSeen += event.data.length;
      from = end + 2;
    }
    text = text.slice(from);
  };
}

const encoder = new TextEncoder();

const frame = (seq: number, chars: number): string =>
  `id: ${seq}.0badcafe\nevent: text-delta\ndata: ${JSON.stringify({ text: 'x'.repeat(chars), seq })}\n\n`;

const frames = (count: number, chars: number): Uint8Array =>
  encoder.encode(Array.from({ length: count }, (_, seq) => frame(seq + 1, chars)).join(''));

function cut(bytes: Uint8Array, size: number): Uint8Array[] {
  const count = Math.ceil(bytes.length / size);
  return Array.from({ length: count }, (_, i) => bytes.slice(i * size, (i + 1) * size));
}

const CASES: Readonly<Record<string, () => readonly Uint8Array[]>> = {
  '120 B events, one a chunk': () => Array.from({ length: 20_000 }, (_, seq) => encoder.encode(frame(seq + 1, 50))),
  '120 B events, 64 KiB chunks': () => cut(frames(20_000, 50), 65_536),
  '64 KB events, 64 KiB chunks': () => cut(frames(64, 65_000), 65_536),
  '120 B events, 1-byte chunks': () => cut(frames(2000, 50), 1),
  '64 KB events, 1-byte chunks': () => cut(frames(2, 65_000), 1),
};

export function benchDecode(seconds: number): { readonly rows: BenchRow[]; readonly goals: Goal[] } {
  const rows: BenchRow[] = [];
  const goals: Goal[] = [];
  for (const [name, make] of Object.entries(CASES)) {
    const chunks = make();
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const bestMs = bestOf(chunks, seconds / Object.keys(CASES).length);
    const mbPerSecond = (ms: number): number => Math.round(bytes / ms / 1000);
    rows.push({
      case: `decode ${name}`,
      figures: {
        'ours MB/s': mbPerSecond(bestMs.ours),
        'minimal MB/s': mbPerSecond(bestMs.minimal),
        'eventsource-parser MB/s': mbPerSecond(bestMs.peer),
      },
    });
    goals.push(
      { what: `decode ${name} ÷ minimal`, got: ratio(bestMs.minimal, bestMs.ours), atLeast: 0.9 },
      { what: `decode ${name} ÷ eventsource-parser`, got: ratio(bestMs.peer, bestMs.ours), atLeast: 1 },
    );
  }
  if (charsSeen === 0) throw new Error('nothing was decoded');
  return { rows, goals };
}

/** Taking turns, so that what slows the machine slows them all; the best of each counts. */
function bestOf(chunks: readonly Uint8Array[], seconds: number): Record<keyof typeof DECODERS, number> {
  const best = { ours: Infinity, minimal: Infinity, peer: Infinity };
  const until = performance.now() + seconds * 1000;
  for (let round = 0; round < 3 || performance.now() < until; round++) {
    for (const kind of ['ours', 'minimal', 'peer'] as const) {
      const feed = DECODERS[kind]();
      const startedAt = performance.now();
      for (const chunk of chunks) feed(chunk);
      best[kind] = Math.min(best[kind], performance.now() - startedAt);
    }
  }
  return best;
}

const ratio = (a: number, b: number): number => Math.round((a / b) * 100) / 100;
