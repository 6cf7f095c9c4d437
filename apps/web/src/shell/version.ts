/**
 * Whether the gateway serves another page than this one. Asked when a stream is opened anew: that is when a gateway may have
 * been replaced.
 *
 * The gateway's build in `hello` says that something changed, the page's own entry file whether the page did. An old page goes
 * on working (its chunks are still served); reloading is the person's choice, and drafts are kept either way.
 */
import { useSyncExternalStore } from 'react';
import type { Hello } from '@holdfast/protocol/sse';

const listeners = new Set<() => void>();
let firstBuild: string | undefined;
let isNewer = false;

/** For `createClient`. */
export function greet({ build }: Hello): void {
  if (firstBuild === undefined) {
    firstBuild = build;
    return;
  }
  if (build !== firstBuild) tell();
  else void isPageReplaced().then((replaced) => replaced && tell());
}

function tell(): void {
  isNewer = true;
  for (const listener of listeners) listener();
}

async function isPageReplaced(): Promise<boolean> {
  try {
    const html = await (await fetch(new URL('.', document.baseURI), { cache: 'no-store' })).text();
    const mine = document.querySelector<HTMLScriptElement>('script[type="module"][src]')?.getAttribute('src');
    const served = new DOMParser().parseFromString(html, 'text/html').querySelector('script[type="module"][src]');
    return mine != null && served !== null && served.getAttribute('src') !== mine;
  } catch {
    // Not reached: it is asked again at the next stream.
    return false;
  }
}

export const useNewerVersion = (): boolean =>
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => isNewer,
  );
