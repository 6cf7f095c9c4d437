/**
 * A terminal below the conversation, where the gateway opens them. Closing it leaves what runs there running.
 */
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { IconButton } from '../ui/button.tsx';

export function TerminalPanel({ onClose }: { readonly onClose: () => void }): ReactNode {
  const place = useRef<HTMLDivElement>(null);
  const [status, setStatus] = useState('Opening');
  useEffect(() => {
    const end = new AbortController();
    void import('./screen.ts').then(
      ({ showTerminal }) =>
        end.signal.aborted || place.current === null ? undefined : showTerminal(place.current, end.signal, setStatus),
      () => setStatus('The terminal could not be loaded. Reload the page.'),
    );
    return () => end.abort();
  }, []);
  return (
    // Its keys are the program's: Escape stops no turn here.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- it listens to nothing, it keeps keys to itself
    <section className="terminal" aria-label="Terminal" onKeyDown={(event) => event.stopPropagation()}>
      <header className="terminal-head">
        <span>Terminal</span>
        <output>{status}</output>
        <IconButton icon="close" label="Close the terminal" size={15} onClick={onClose} />
      </header>
      <div ref={place} className="terminal-screen" />
    </section>
  );
}
