/**
 * One message. It is rendered again when it changed, and not when its neighbours did.
 */
import {
  memo,
  useEffect,
  useEffectEvent,
  useRef,
  useState,
  type KeyboardEvent,
  type NamedExoticComponent,
  type ReactNode,
} from 'react';
import type { OutboxItem } from '@holdfast/client';
import type { InputPart } from '@holdfast/protocol/entry';
import { faultInfo, type Fault } from '@holdfast/protocol/fault';
import type { PromptId, TurnId } from '@holdfast/protocol/ids';
import type { Message, QueuedMessage } from '@holdfast/protocol/view';
import { KeptBtwView } from '../btw/kept-btw.tsx';
import type { Intents } from '../session/intents.ts';
import { faultText } from '../session/explain.ts';
import { CopyButton } from '../ui/copy-button.tsx';
import { IconButton } from '../ui/button.tsx';
import { longTime } from '../ui/words.ts';
import type { Fork, Versions } from './branches.ts';
import { Attachment, Parts } from './parts.tsx';
import type { OpenState } from './prompt.tsx';
import { Ending, Progress, UsageLine } from './turn-end.tsx';

export interface AnswerProps {
  readonly message: Message;
  readonly fork: Fork | undefined;
  readonly isStopping: boolean;
  /** Nothing comes after it, and nothing runs. */
  readonly isLast: boolean;
  readonly promptState: (promptId: PromptId) => OpenState;
  readonly intents: Intents;
}

const CONTINUE_TEXT = 'Continue from where you stopped.';

/** An assistant's message. */
export const AnswerView: NamedExoticComponent<AnswerProps> = memo(function AnswerView(props: AnswerProps): ReactNode {
  const { message, fork, isStopping, isLast, promptState, intents } = props;
  const isRunning = message.state === 'streaming' || message.state === 'parked';
  const again = fork?.parent === undefined ? undefined : () => void intents.regenerate(message.id);
  return (
    <article className="message is-answer" data-message={message.id} data-state={message.state} aria-label="Answer">
      <Parts
        parts={message.parts}
        isStreaming={message.state === 'streaming'}
        promptState={promptState}
        onAnswer={intents.answer}
      />
      {message.btws?.map((btw) => (
        <KeptBtwView key={btw.btwId} btw={btw} />
      ))}
      <Ending
        message={message}
        onContinue={isLast ? () => void intents.send(CONTINUE_TEXT) : undefined}
        onAgain={isLast ? again : undefined}
      />
      <footer className="message-foot">
        {isRunning ? (
          <Progress message={message} isStopping={isStopping} />
        ) : (
          <>
            <VersionSwitch versions={fork?.answer ?? null} what="answer" onSwitch={intents.switchBranch} />
            <CopyButton text={message.text} label="Copy answer" />
            {again === undefined ? null : <IconButton icon="refresh" label="Answer again" size={15} onClick={again} />}
            <UsageLine message={message} />
          </>
        )}
      </footer>
    </article>
  );
});

export interface QuestionProps {
  readonly message: Message;
  readonly fork: Fork | undefined;
  /** Somebody else wrote it: then their name is shown. */
  readonly isForeign: boolean;
  readonly intents: Intents;
}

/** A person's message. */
export const QuestionView: NamedExoticComponent<QuestionProps> = memo(function QuestionView({
  message,
  fork,
  isForeign,
  intents,
}: QuestionProps): ReactNode {
  const [isEditing, setEditing] = useState(false);
  const attached = message.parts.filter((part): part is InputPart => part.type === 'file' || part.type === 'data');
  const parent = fork?.parent;
  const send = (text: string, after: TurnId | null): void => {
    setEditing(false);
    void intents.send(text, { after, ...(attached.length === 0 ? {} : { parts: attached }) });
  };
  return (
    <article className="message is-question" data-message={message.id} aria-label="Message">
      {isForeign ? <span className="message-author">{message.author}</span> : null}
      {isEditing && parent !== undefined ? (
        <Editor text={message.text} onCancel={() => setEditing(false)} onSave={(text) => send(text, parent)} />
      ) : (
        <>
          <Bubble text={message.text} parts={attached} />
          <footer className="message-foot" title={longTime(message.at)}>
            <VersionSwitch versions={fork?.question ?? null} what="message" onSwitch={intents.switchBranch} />
            <CopyButton text={message.text} label="Copy message" />
            {parent === undefined ? null : (
              <IconButton icon="edit" label="Edit and ask again" size={15} onClick={() => setEditing(true)} />
            )}
          </footer>
        </>
      )}
    </article>
  );
});

function Bubble({ text, parts }: { readonly text: string; readonly parts: readonly InputPart[] }): ReactNode {
  return (
    <div className="bubble">
      {text === '' ? null : <p>{text}</p>}
      {parts.length === 0 ? null : (
        <div className="attachments">
          {parts.map((part, index) => (
            <Attachment key={index} part={part} />
          ))}
        </div>
      )}
    </div>
  );
}

/** A message that is about to start its turn. */
export function StartingView({ item }: { readonly item: QueuedMessage }): ReactNode {
  return (
    <article className="message is-question" aria-label="Message">
      <Bubble text={item.text} parts={item.parts} />
      <footer className="message-foot" />
    </article>
  );
}

/** A message that the gateway does not have yet, or not for certain. */
export function SendingView({ item, intents }: { readonly item: OutboxItem; readonly intents: Intents }): ReactNode {
  return (
    <article className="message is-question" data-outbox={item.state} aria-label="Message">
      <Bubble text={item.text} parts={item.parts} />
      <footer className="message-foot">
        <SendingState item={item} intents={intents} />
      </footer>
    </article>
  );
}

export function SendingState({ item, intents }: { readonly item: OutboxItem; readonly intents: Intents }): ReactNode {
  const { state, fault, clientId } = item;
  if (state === 'accepted') return null;
  if (state === 'sending') return <span className="sending-state">Sending</span>;
  return (
    <span className={`sending-state is-${state}`}>
      <span>{sendingText(state, fault)}</span>
      <button type="button" className="link-button" onClick={() => intents.retry(clientId)}>
        {state === 'refused' ? 'Send again' : 'Try now'}
      </button>
      <button type="button" className="link-button" onClick={() => intents.discard(clientId)}>
        Discard
      </button>
    </span>
  );
}

function sendingText(state: 'unconfirmed' | 'refused', fault: Fault | undefined): string {
  if (state === 'refused') return `Not sent. ${fault === undefined ? '' : faultText(fault)}`;
  return `${fault === undefined ? 'Not confirmed' : faultInfo(fault.kind).title}. It is sent again by itself, once.`;
}

interface VersionSwitchProps {
  readonly versions: Versions | null;
  readonly what: string;
  readonly onSwitch: (turnId: TurnId) => void | Promise<boolean>;
}

function VersionSwitch({ versions, what, onSwitch }: VersionSwitchProps): ReactNode {
  if (versions === null) return null;
  const { at, turnIds } = versions;
  const step = (by: number): void => {
    const turnId = turnIds[at + by];
    if (turnId !== undefined) void onSwitch(turnId);
  };
  return (
    <fieldset className="versions" aria-label={`Versions of this ${what}`}>
      <IconButton
        icon="chevronLeft"
        label={`Previous ${what}`}
        size={15}
        disabled={at === 0}
        onClick={() => step(-1)}
      />
      <span className="versions-at">
        {at + 1}/{turnIds.length}
      </span>
      <IconButton
        icon="chevronRight"
        label={`Next ${what}`}
        size={15}
        disabled={at === turnIds.length - 1}
        onClick={() => step(1)}
      />
    </fieldset>
  );
}

interface EditorProps {
  readonly text: string;
  readonly onSave: (text: string) => void;
  readonly onCancel: () => void;
  /** It was taken away with words in it that are neither saved nor given up. */
  readonly onLost?: (text: string) => void;
}

/** For a message that is written already: Enter saves, Escape leaves it as it was. */
export function Editor({ text, onSave, onCancel, onLost }: EditorProps): ReactNode {
  const [draft, setDraft] = useState(text);
  const area = useRef<HTMLTextAreaElement>(null);
  const isLeft = useRef(false);
  const tellIfLost = useEffectEvent(() => {
    if (!isLeft.current && draft !== text) onLost?.(draft);
  });
  useEffect(() => () => tellIfLost(), []);
  const save = (): void => {
    if (draft.trim() === '') return;
    isLeft.current = true;
    onSave(draft);
  };
  const cancel = (): void => {
    isLeft.current = true;
    onCancel();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === 'Escape') {
      // It is this that is left, not the turn that is stopped.
      event.stopPropagation();
      cancel();
    } else if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      save();
    }
  };
  return (
    <div className="editor">
      <textarea
        ref={area}
        className="editor-text"
        dir="auto"
        aria-label="Edit message"
        value={draft}
        // The person asked for it by pressing "edit".
        // oxlint-disable-next-line jsx-a11y/no-autofocus
        autoFocus
        onFocus={(event) => event.currentTarget.setSelectionRange(draft.length, draft.length)}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <div className="editor-actions">
        <button type="button" className="button is-quiet" onClick={cancel}>
          Cancel
        </button>
        <button type="button" className="button is-primary" disabled={draft.trim() === ''} onClick={save}>
          Save
        </button>
      </div>
    </div>
  );
}
