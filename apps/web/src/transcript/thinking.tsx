/**
 * What a model thought before it spoke: folded, with its latest line to be seen while it thinks.
 */
import { useState, type ReactNode } from 'react';
import { Markdown } from '../markdown/markdown.tsx';
import { Icon } from '../ui/icons.tsx';

export function Thinking({ text, isLive }: { readonly text: string; readonly isLive: boolean }): ReactNode {
  const [isOpen, setOpen] = useState(false);
  return (
    <details
      className={isLive ? 'card thinking is-live' : 'card thinking'}
      open={isOpen}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary className="card-head">
        <Icon name="thought" size={16} />
        <span className="card-title">{isLive ? 'Thinking' : 'Thought'}</span>
        {isOpen ? null : <span className="card-note thinking-line">{lastLine(text)}</span>}
        <Icon name="chevronDown" size={15} />
      </summary>
      {isOpen ? (
        <div className="card-body">
          <Markdown text={text} isStreaming={isLive} />
        </div>
      ) : null}
    </details>
  );
}

const LINE_CHARS_MAX = 160;

function lastLine(text: string): string {
  const end = text.trimEnd();
  const line = end.slice(end.lastIndexOf('\n') + 1);
  return line.length > LINE_CHARS_MAX ? `…${line.slice(-LINE_CHARS_MAX)}` : line;
}
