/**
 * A tool call: what was asked, what it says while it runs, how it ended.
 *
 * 1. It is open while it runs and when it went wrong, until somebody opens or closes it: then it is as they left it.
 * 2. *Uncertain* is said plainly: whoever reads it must know that nobody knows.
 */
import { useEffect, useRef, useState, type ReactNode, type RefObject } from 'react';
import type { ToolPart } from '@holdfast/protocol/view';
import { TOOL_STATES } from '../session/explain.ts';
import { blobAddress } from '../shell/addresses.ts';
import { Icon, type IconName } from '../ui/icons.tsx';
import { bytesText, durationText } from '../ui/words.ts';

const ICONS: Readonly<Record<ToolPart['state'], IconName>> = {
  requested: 'wait',
  running: 'tool',
  done: 'check',
  failed: 'alert',
  cancelled: 'close',
  uncertain: 'alert',
};

export function Tool({ part }: { readonly part: ToolPart }): ReactNode {
  const { name, input, state, output, blob, outputBytes, durationMs } = part;
  const [chosen, setChosen] = useState<boolean | null>(null);
  const isOpen = chosen ?? (state === 'running' || state === 'failed' || state === 'uncertain');
  return (
    <section className="card tool" data-state={state} aria-label={`Tool ${name}, ${TOOL_STATES[state]}`}>
      <button type="button" className="card-head" aria-expanded={isOpen} onClick={() => setChosen(!isOpen)}>
        <span className="tool-mark">
          <Icon name={ICONS[state]} size={15} />
        </span>
        <code className="card-title">{name}</code>
        <span className="card-note tool-input">{isOpen ? '' : inputLine(input)}</span>
        <span className="tool-state">
          {TOOL_STATES[state]}
          {durationMs === undefined ? '' : ` · ${durationText(durationMs)}`}
        </span>
        <Icon name="chevronDown" size={15} />
      </button>
      {isOpen ? (
        <div className="card-body">
          {state === 'uncertain' ? <Uncertain /> : null}
          <Block label="Input" text={inputText(input)} />
          {output === '' ? null : <Block label="Output" text={output} isLive={state === 'running'} />}
          {blob === undefined ? null : (
            <a className="tool-blob" href={blobAddress(blob)} target="_blank" rel="noopener">
              <Icon name="file" size={15} />
              Whole output{outputBytes === undefined ? '' : ` (${bytesText(outputBytes)})`}
            </a>
          )}
        </div>
      ) : null}
    </section>
  );
}

/** 2. */
const Uncertain = (): ReactNode => (
  <p className="tool-uncertain">
    This tool was running when its process died. Nobody knows whether it did what it was asked to; it was not run again.
    Check before you repeat it.
  </p>
);

interface BlockProps {
  readonly label: string;
  readonly text: string;
  readonly isLive?: boolean;
}

function Block({ label, text, isLive = false }: BlockProps): ReactNode {
  const box = useFollow(text, isLive);
  return (
    <div className="tool-block">
      <span className="tool-label">{label}</span>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, by keyboard too */}
      <pre ref={box} className="card-output" tabIndex={0} aria-label={label}>
        {text}
      </pre>
    </div>
  );
}

const END_PX = 24;

/** Live output stays at its end while it is read there. */
function useFollow(text: string, isLive: boolean): RefObject<HTMLPreElement | null> {
  const box = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  const shown = useRef('');
  useEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const look = (): void => {
      atEnd.current = element.scrollHeight - element.clientHeight - element.scrollTop < END_PX;
    };
    element.addEventListener('scroll', look, { passive: true });
    return () => element.removeEventListener('scroll', look);
  }, []);
  useEffect(() => {
    if (isLive && atEnd.current && text !== shown.current) box.current?.scrollTo(0, box.current.scrollHeight);
    shown.current = text;
  }, [text, isLive]);
  return box;
}

/** A tool that takes one text is shown by that text. */
function inputText(input: unknown): string {
  if (typeof input === 'string') return input;
  const values = typeof input === 'object' && input !== null ? Object.values(input) : [];
  const [only] = values;
  return values.length === 1 && typeof only === 'string' ? only : JSON.stringify(input, null, 2);
}

const inputLine = (input: unknown): string => inputText(input).replaceAll(/\s+/g, ' ').slice(0, 200);
