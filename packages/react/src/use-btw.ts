/** Side questions of one view: asking another, another session and unmounting cancel the one that runs (C2). */
import { useEffect, useMemo, useRef, useState } from 'react';

import type { Btw, BtwClient, BtwState, Readable, Result } from '@holdfast/client';

import { useSelected } from './use-selected.ts';

export interface SideQuestion {
  /** null: nothing was asked here yet. */
  readonly state: BtwState | null;
  readonly ask: (question: string) => void;
  readonly cancel: () => void;
  /** undefined: there is nothing to keep. */
  readonly keep: () => Promise<Result<object> | undefined>;
}

/** @param open makes the client of this view when it is first needed: `() => new BtwClient({ baseUrl })`. */
export function useBtw(sessionId: string, open: () => BtwClient): SideQuestion {
  const client = useRef<BtwClient | undefined>(undefined);
  const opener = useRef(open);
  const [asked, setAsked] = useState<{ readonly sessionId: string; readonly btw: Btw } | undefined>(undefined);
  const btw = asked?.sessionId === sessionId ? asked.btw : undefined;
  useEffect(() => {
    opener.current = open;
  }, [open]);
  useEffect(() => () => btw?.cancel(), [btw]);
  useEffect(
    () => () => {
      void client.current?.close();
      // A view that was hidden (`Activity`) comes back, and asks with a new one.
      client.current = undefined;
    },
    [],
  );
  const state = useSelected<BtwState | null, BtwState | null>(btw?.store ?? NOTHING, whole);
  return useMemo(
    () => ({
      state,
      ask: (question) => {
        client.current ??= opener.current();
        setAsked({ sessionId, btw: client.current.ask(sessionId, question) });
      },
      cancel: () => btw?.cancel(),
      keep: () => (btw === undefined ? Promise.resolve(undefined) : btw.keep()),
    }),
    [state, sessionId, btw],
  );
}

const whole = <T>(state: T): T => state;
const none = (): null => null;
const NOTHING: Readable<null> = { getSnapshot: none, getServerSnapshot: none, subscribe: () => () => {} };
