/**
 * The page's end of the highlighting: asks the worker, remembers, and paints.
 *
 * H1. Painting changes no node: the inks are ranges over the code's one text node (CSS Custom Highlight API). Nothing
 *     flickers, selections stay, and a browser without the API shows the same code in one colour.
 * H2. Only what is near the screen is painted: a page's cost is that of what it shows.
 * H3. The worker starts with the first finished fence. At `REMEMBERED_MAX` results the oldest is forgotten.
 */
import { INKS } from './inks.ts';
import type { HighlightReply, HighlightRequest } from './highlight.worker.ts';
import type { Language } from './language-names.ts';

/** Longer code stays in one colour. */
const CODE_CHARS_MAX = 60_000;
const REMEMBERED_MAX = 300;

const remembered = new Map<string, Promise<Uint32Array>>();
const waiting = new Map<number, (spans: Uint32Array) => void>();
let worker: Worker | undefined;
let lastId = 0;

const NOTHING = new Uint32Array();

/** @returns triples of start, end, ink. */
export function highlight(code: string, language: Language): Promise<Uint32Array> {
  if (code.length > CODE_CHARS_MAX || !canPaint()) return Promise.resolve(NOTHING);
  const key = `${language}\n${code}`;
  const known = remembered.get(key);
  if (known !== undefined) return known;
  const asked = ask(code, language);
  remembered.set(key, asked);
  if (remembered.size > REMEMBERED_MAX) {
    const [oldest] = remembered.keys();
    if (oldest !== undefined) remembered.delete(oldest);
  }
  return asked;
}

function ask(code: string, language: Language): Promise<Uint32Array> {
  const { promise, resolve } = Promise.withResolvers<Uint32Array>();
  lastId += 1;
  waiting.set(lastId, resolve);
  const request: HighlightRequest = { id: lastId, code, language };
  theWorker().postMessage(request, { transfer: [] });
  return promise;
}

function theWorker(): Worker {
  if (worker !== undefined) return worker;
  worker = new Worker(new URL('./highlight.worker.ts', import.meta.url), { type: 'module', name: 'highlight' });
  worker.addEventListener('message', ({ data: { id, spans } }: MessageEvent<HighlightReply>) => {
    waiting.get(id)?.(spans);
    waiting.delete(id);
  });
  // A worker that cannot be had leaves code in one colour.
  worker.addEventListener('error', () => {
    for (const resolve of waiting.values()) resolve(NOTHING);
    waiting.clear();
  });
  return worker;
}

// ── paint ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const canPaint = (): boolean => typeof Highlight === 'function' && 'highlights' in CSS;

/** H1. @returns takes the paint off again. */
export function paint(node: Text, spans: Uint32Array): () => void {
  if (!canPaint()) return () => undefined;
  const painted: [Highlight, AbstractRange][] = [];
  for (let at = 0; at + 2 < spans.length; at += 3) {
    const [start = 0, end = 0, ink = 0] = spans.subarray(at, at + 3);
    if (end > node.length) break;
    const range = new StaticRange({ startContainer: node, startOffset: start, endContainer: node, endOffset: end });
    const layer = layerOf(ink);
    layer.add(range);
    painted.push([layer, range]);
  }
  return () => {
    for (const [layer, range] of painted) layer.delete(range);
  };
}

function layerOf(ink: number): Highlight {
  const name = `ink-${INKS[ink] ?? 'plain'}`;
  const known = CSS.highlights.get(name);
  if (known !== undefined) return known;
  const layer = new Highlight();
  CSS.highlights.set(name, layer);
  return layer;
}
