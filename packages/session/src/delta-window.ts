/**
 * Coalesces the small pieces of an answer. A delta that comes `WINDOW_MS` or more after the last flush goes at once, so that
 * a slow stream is shown without delay; later ones wait for the window's end or for a structural event.
 *
 * 1. Nothing is reordered: pieces of different kinds stay in their order, neighbours of one kind become one entry.
 * 2. The window owns one timer, and only while something waits.
 */
import type { RunEvent } from '@holdfast/protocol';
import type { Clock, Timer } from './clock.ts';

export const WINDOW_MS = 20;

export type Delta = Extract<RunEvent, { type: 'text-delta' | 'thinking-delta' | 'tool-output' }>;

export class DeltaWindow {
  readonly #clock: Clock;
  readonly #flushTo: (deltas: readonly Delta[]) => void;
  #pieces: Delta[] = [];
  #texts: string[] = [];
  #lastFlushMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(clock: Clock, flushTo: (deltas: readonly Delta[]) => void) {
    this.#clock = clock;
    this.#flushTo = flushTo;
  }

  push(delta: Delta): void {
    const last = this.#pieces.at(-1);
    if (last !== undefined && sameKind(last, delta)) this.#texts.push(delta.text);
    else {
      this.#seal();
      this.#pieces.push(delta);
      this.#texts = [delta.text];
    }
    if (this.#timer !== undefined) return;
    const leftMs = this.#lastFlushMs + WINDOW_MS - this.#clock.monotonicMs();
    if (leftMs <= 0) this.#flushTo(this.take());
    else this.#timer = this.#clock.after(leftMs, () => this.#flushTo(this.take()));
  }

  /** What waits, in order; the window starts anew. */
  take(): readonly Delta[] {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#pieces.length === 0) return [];
    this.#seal();
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#lastFlushMs = this.#clock.monotonicMs();
    return pieces;
  }

  #seal(): void {
    const last = this.#pieces.at(-1);
    if (last !== undefined && this.#texts.length > 1)
      this.#pieces[this.#pieces.length - 1] = { ...last, text: this.#texts.join('') };
    this.#texts = [];
  }
}

function sameKind(a: Delta, b: Delta): boolean {
  return a.type === b.type && (a.type !== 'tool-output' || (b.type === 'tool-output' && a.toolId === b.toolId));
}
