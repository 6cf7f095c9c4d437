/**
 * What has to be said about something that a person just did, and then goes away by itself.
 *
 * At `NOTICES_MAX` the oldest goes. Errors stay until they are closed: one reads slowly when something went wrong.
 */
import { createContext, useCallback, useContext, useMemo, useState, type ReactNode } from 'react';
import { systemClock } from '@holdfast/client';
import { IconButton } from './button.tsx';

export interface Notice {
  readonly kind: 'done' | 'error';
  readonly text: string;
}
export type Notify = (notice: Notice) => void;

const NOTICES_MAX = 3;
const SHOWN_MS = 5_000;

const NotifyContext = createContext<Notify>(() => undefined);
export const useNotify = (): Notify => useContext(NotifyContext);

export function Notices({ children }: { readonly children: ReactNode }): ReactNode {
  const [notices, setNotices] = useState<readonly Notice[]>([]);
  const close = useCallback((notice: Notice) => setNotices((all) => all.filter((other) => other !== notice)), []);
  const notify = useCallback<Notify>(
    (notice) => {
      setNotices((all) => [...all.filter(({ text }) => text !== notice.text), notice].slice(-NOTICES_MAX));
      if (notice.kind === 'done') systemClock.after(SHOWN_MS, () => close(notice));
    },
    [close],
  );
  const shown = useMemo(
    () =>
      notices.map((notice) => (
        <div key={notice.text} className={`notice is-${notice.kind}`}>
          <span>{notice.text}</span>
          <IconButton icon="close" label="Close" size={14} onClick={() => close(notice)} />
        </div>
      )),
    [notices, close],
  );
  return (
    <NotifyContext value={notify}>
      {children}
      <output className="notices" aria-live="polite">
        {shown}
      </output>
    </NotifyContext>
  );
}
