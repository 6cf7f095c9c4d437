/**
 * The parts of a message, each as what it is. Pure: what can be done about one comes in as an intent.
 */
import { memo, type ReactNode } from 'react';
import type { Part } from '@holdfast/protocol/view';
import type { InputPart } from '@holdfast/protocol/entry';
import type { PromptId } from '@holdfast/protocol/ids';
import { Markdown } from '../markdown/markdown.tsx';
import { Icon } from '../ui/icons.tsx';
import { bytesText, countOf } from '../ui/words.ts';
import { blobAddress } from '../shell/addresses.ts';
import { Prompt, type OpenState, type PromptProps } from './prompt.tsx';
import { Thinking } from './thinking.tsx';
import { Tool } from './tool.tsx';

export interface PartsProps {
  readonly parts: readonly Part[];
  readonly isStreaming: boolean;
  /** How far an open prompt is. */
  readonly promptState: (promptId: PromptId) => OpenState;
  readonly onAnswer: PromptProps['onAnswer'];
}

export function Parts({ parts, isStreaming, promptState, onAnswer }: PartsProps): ReactNode {
  const keys = keysOf(parts);
  return parts.map((part, index) => {
    const isLive = isStreaming && index === parts.length - 1;
    const key = keys[index];
    if (part.type === 'prompt')
      return <Prompt key={key} part={part} open={promptState(part.promptId)} onAnswer={onAnswer} />;
    return <PlainPart key={key} part={part} isLive={isLive} />;
  });
}

/** Named parts by their name, others by their place among their kind: an empty thought that goes away moves nothing. */
function keysOf(parts: readonly Part[]): readonly string[] {
  const counts = new Map<string, number>();
  return parts.map((part) => {
    if (part.type === 'tool') return part.toolId;
    if (part.type === 'prompt') return part.promptId;
    const count = (counts.get(part.type) ?? 0) + 1;
    counts.set(part.type, count);
    return `${part.type}-${count}`;
  });
}

type PlainPartProps = { readonly part: Exclude<Part, { type: 'prompt' }>; readonly isLive: boolean };

/** A part that did not change is the same object, and is not rendered again. */
const PlainPart = memo(function PlainPart({ part, isLive }: PlainPartProps): ReactNode {
  switch (part.type) {
    case 'text':
      return <Markdown text={part.text} isStreaming={isLive} />;
    case 'thinking':
      return <Thinking text={part.text} isLive={isLive} />;
    case 'tool':
      return <Tool part={part} />;
    case 'steer':
      return (
        <div className="aside">
          <Icon name="steer" size={15} />
          <span className="aside-label">Said meanwhile</span>
          <span className="aside-text">{part.text}</span>
        </div>
      );
    case 'context-trim':
      return (
        <div className="aside">
          <Icon name="alert" size={15} />
          <span>
            The conversation is longer than the model’s window: the oldest {countOf(part.turns, 'turn')} above were left
            out of what it read.
          </span>
        </div>
      );
    case 'provider-state':
      return null;
    case 'file':
    case 'data':
      return <Attachment part={part} />;
  }
});

export function Attachment({ part }: { readonly part: InputPart }): ReactNode {
  if (part.type === 'data')
    return (
      <details className="card">
        <summary className="card-head">
          <Icon name="file" size={16} />
          <span className="card-title">{part.name}</span>
          <span className="card-note">data</span>
        </summary>
        <pre className="card-output">{JSON.stringify(part.data, null, 2)}</pre>
      </details>
    );
  const address = blobAddress(part.hash);
  const isPicture = /^image\/(?:png|jpeg|gif|webp|avif)$/.test(part.mediaType);
  return (
    <a className="attachment" href={address} target="_blank" rel="noopener">
      {isPicture ? <img src={address} alt={part.name} loading="lazy" /> : <Icon name="file" size={16} />}
      <span className="attachment-name">{part.name}</span>
      <span className="attachment-note">{bytesText(part.bytes)}</span>
    </a>
  );
}
