/**
 * The part of the client that comes in a chunk of its own (`live.ts`; decision 9 says why).
 *
 * A page waits for the first chunk alone. The second is asked for when a client is made, before anybody needs it.
 *
 * 1. Only what the client is whole without may be in it: until it is there, and where it never comes, sessions are asked for
 *    (`late-streams.ts`), and what is done now and then is refused (`actions.ts`). What must not be lost when the network goes, the outbox and its store, is in the first.
 * 2. No stream is open before it is there, so whoever is told an entry has it.
 */
import { fault, FaultError } from '@holdfast/protocol/fault';

import type * as Actions from './actions.ts';
import type * as Live from './live.ts';

let part: typeof Live | undefined;

export const liveIfThere = (): typeof Live | undefined => part;

/** Rule 2. */
export function live(): typeof Live {
  if (part === undefined) throw new TypeError('An entry came before what reads it.');
  return part;
}

/** Rejects where it does not come. A browser may not ask for it twice in the life of a page (Chromium does not). */
export const loadLive = async (): Promise<typeof Live> => (part ??= await import('./live.ts'));

/** What is done now and then, and nobody needs to see, send, stop or answer anything. @throws FaultError */
export async function loadActions(): Promise<typeof Actions> {
  try {
    return (await loadLive()).actions;
  } catch (cause) {
    const why = fault('disconnected', 'A part of the client could not be loaded. Reload the page.');
    throw new FaultError(why, { cause });
  }
}
