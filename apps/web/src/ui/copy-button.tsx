import { useState, type ReactNode } from 'react';
import { copyText } from './clipboard.ts';
import { Icon } from './icons.tsx';
import { useDelay } from './use-timer.ts';

const SHOWN_MS = 1_600;

export function CopyButton({ text, label }: { readonly text: string; readonly label: string }): ReactNode {
  const [outcome, setOutcome] = useState<'copied' | 'failed' | null>(null);
  const later = useDelay();
  const copy = async (): Promise<void> => {
    setOutcome((await copyText(text)) ? 'copied' : 'failed');
    later(SHOWN_MS, () => setOutcome(null));
  };
  const said = outcome === 'copied' ? 'Copied' : outcome === 'failed' ? 'Could not copy' : label;
  return (
    <button type="button" className="icon-button" title={said} aria-label={said} onClick={() => void copy()}>
      <Icon name={outcome === 'copied' ? 'check' : outcome === 'failed' ? 'alert' : 'copy'} size={15} />
    </button>
  );
}
