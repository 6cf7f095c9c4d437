/**
 * When to tell readers of a change: at the next frame of a page, and where there is none, right after what runs now.
 *
 * 1. At most one telling a frame (62 tokens in 16 ms are one render), and at least one every 250 ms: a hidden page draws no
 *    frames, and there the timer comes first.
 */
import type { Clock, Timer } from './ports.ts';

export interface Frames {
  /** Calls back once, soon. */
  next(callback: () => void): Timer;
}

const HIDDEN_MS = 250;

export function pageFrames(clock: Clock): Frames {
  if (typeof requestAnimationFrame !== 'function') return taskFrames;
  return {
    next(callback) {
      const once = (): void => {
        cancel();
        callback();
      };
      const frame = requestAnimationFrame(once);
      const timer = clock.after(HIDDEN_MS, once);
      const cancel = (): void => {
        cancelAnimationFrame(frame);
        timer.cancel();
      };
      return { cancel };
    },
  };
}

/** Everything that one chunk of a stream brought is one change. */
const taskFrames: Frames = {
  next(callback) {
    let cancelled = false;
    queueMicrotask(() => {
      if (!cancelled) callback();
    });
    return { cancel: () => (cancelled = true) };
  },
};
