/**
 * The signs of life of a page: `online`, `offline`, visibility, and coming back from the back-forward cache or a freeze.
 * Where there is no page (Node, a worker) nothing is ever said and the answer is "visible".
 */
import type { Hint, Lifecycle } from './ports.ts';

export const silentLifecycle: Lifecycle = { visible: () => true, subscribe: () => () => {} };

export function pageLifecycle(): Lifecycle {
  if (typeof document === 'undefined') return silentLifecycle;
  return {
    visible: () => document.visibilityState === 'visible',
    subscribe(listener) {
      const ends = [
        on(window, 'online', () => listener('online')),
        on(window, 'offline', () => listener('offline')),
        on(document, 'visibilitychange', () => listener(hintOfVisibility())),
        on(document, 'resume', () => listener(hintOfVisibility())),
        on(window, 'pageshow', () => listener(hintOfVisibility())),
      ];
      return () => ends.forEach((end) => end());
    },
  };
}

const hintOfVisibility = (): Hint => (document.visibilityState === 'visible' ? 'visible' : 'hidden');

function on(target: EventTarget, type: string, listener: () => void): () => void {
  target.addEventListener(type, listener);
  return () => target.removeEventListener(type, listener);
}
