/**
 * Where one writes.
 *
 * C1. What is written is in `drafts` from the first character on, and leaves it only when the message is safe in the outbox.
 * C2. While a turn runs, Enter queues unless something else was chosen; what it will do is written on the button.
 * C3. Enter sends, Shift+Enter breaks the line, a composition's Enter (IME) does neither.
 */
import {
  useEffect,
  useRef,
  useState,
  type ClipboardEvent,
  type DragEvent,
  type KeyboardEvent,
  type ReactNode,
  type Ref,
} from 'react';
import type { InputPart, WhenBusy } from '@holdfast/protocol/entry';
import { Icon, type IconName } from '../ui/icons.tsx';
import { IconButton } from '../ui/button.tsx';
import { bytesText } from '../ui/words.ts';
import { useAttachments, type Attachments, type Upload } from './attachments.ts';
import { EMPTY_DRAFT, useDraft, type Draft, type DraftKey, type Drafts } from './drafts.ts';

export interface ComposerProps {
  readonly drafts: Drafts;
  readonly draftKey: DraftKey;
  /** A turn runs or waits: what is sent now is not answered at once. */
  readonly isBusy: boolean;
  /** The running turn can be stopped. */
  readonly canStop: boolean;
  readonly isStopping: boolean;
  readonly upload: Upload;
  /** Resolves once the message is safe. */
  readonly onSend: (draft: Draft) => Promise<boolean>;
  readonly onStop: () => void;
  /** Arrow up where nothing is written. @returns whether there was something to edit. */
  readonly onEditLast: () => boolean;
  readonly textRef: Ref<HTMLTextAreaElement>;
  readonly placeholder: string;
}

export function Composer(props: ComposerProps): ReactNode {
  const { drafts, draftKey, isBusy, canStop, isStopping, upload, onSend, onStop, onEditLast, textRef } = props;
  const draft = useDraft(drafts, draftKey);
  const attachments = useAttachments(drafts, draftKey, upload);
  const [isSending, setSending] = useState(false);
  const isReady =
    (draft.text.trim() !== '' || draft.parts.length > 0) && attachments.uploading.length === 0 && !isSending;

  const send = async (): Promise<void> => {
    if (!isReady) return;
    setSending(true);
    const isSafe = await onSend(draft);
    setSending(false);
    // C1. What was typed meanwhile stays.
    if (isSafe && drafts.get(draftKey) === draft) drafts.set(draftKey, { ...EMPTY_DRAFT, whenBusy: draft.whenBusy });
  };
  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>): void => {
    if (event.nativeEvent.isComposing || event.keyCode === 229) return; // C3
    if (event.key === 'Enter' && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      void send();
    } else if (event.key === 'ArrowUp' && draft.text === '' && onEditLast()) event.preventDefault();
  };

  return (
    <DropTarget onFiles={attachments.add}>
      <Attached parts={draft.parts} attachments={attachments} />
      <textarea
        ref={textRef}
        className="composer-text"
        dir="auto"
        rows={1}
        value={draft.text}
        placeholder={props.placeholder}
        aria-label="Message"
        aria-keyshortcuts="Enter"
        enterKeyHint="send"
        onChange={(event) => drafts.set(draftKey, { text: event.target.value })}
        onKeyDown={onKeyDown}
        onPaste={(event) => pasteFiles(event, attachments.add)}
      />
      <div className="composer-bar">
        <FilePicker onFiles={attachments.add} />
        {isBusy ? (
          <WhenBusyChoice value={draft.whenBusy} onChange={(whenBusy) => drafts.set(draftKey, { whenBusy })} />
        ) : null}
        <span className="composer-gap" />
        {canStop ? (
          <button
            type="button"
            className="button stop-button"
            disabled={isStopping}
            aria-keyshortcuts="Escape"
            onClick={onStop}
          >
            <Icon name="stop" size={16} />
            <span className="stop-label">{isStopping ? 'Stopping' : 'Stop'}</span>
          </button>
        ) : null}
        <button type="button" className="button is-primary send-button" disabled={!isReady} onClick={() => void send()}>
          <Icon name={isBusy ? BUSY_CHOICES[draft.whenBusy].icon : 'send'} size={16} />
          <span className={isBusy ? 'send-label' : ''}>{isBusy ? BUSY_CHOICES[draft.whenBusy].label : 'Send'}</span>
        </button>
      </div>
    </DropTarget>
  );
}

// ── what to do while a turn runs ────────────────────────────────────────────────────────────────────────────────────

const BUSY_CHOICES: Readonly<
  Record<WhenBusy, { readonly label: string; readonly about: string; readonly icon: IconName }>
> = {
  queue: { label: 'Queue', about: 'Answered after what runs now', icon: 'queue' },
  steer: { label: 'Steer', about: 'Said to the answer that is being written', icon: 'steer' },
  interrupt: { label: 'Interrupt', about: 'Stops what runs, then answers this', icon: 'bolt' },
};

interface WhenBusyChoiceProps {
  readonly value: WhenBusy;
  readonly onChange: (value: WhenBusy) => void;
}

function WhenBusyChoice({ value, onChange }: WhenBusyChoiceProps): ReactNode {
  return (
    <fieldset className="segments">
      <legend className="visually-hidden">While an answer is being written</legend>
      {(Object.keys(BUSY_CHOICES) as WhenBusy[]).map((choice) => (
        <label key={choice} className="segment" title={BUSY_CHOICES[choice].about}>
          <input
            type="radio"
            name="when-busy"
            className="visually-hidden"
            checked={choice === value}
            onChange={() => onChange(choice)}
          />
          <Icon name={BUSY_CHOICES[choice].icon} size={14} />
          <span className="segment-label">{BUSY_CHOICES[choice].label}</span>
        </label>
      ))}
    </fieldset>
  );
}

// ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function FilePicker({ onFiles }: { readonly onFiles: Attachments['add'] }): ReactNode {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <IconButton icon="attach" label="Attach files" onClick={() => input.current?.click()} />
      <input
        ref={input}
        type="file"
        multiple
        hidden
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])]);
          // The same file may be picked again.
          event.target.value = '';
        }}
      />
    </>
  );
}

function Attached({
  parts,
  attachments,
}: {
  readonly parts: readonly InputPart[];
  readonly attachments: Attachments;
}): ReactNode {
  if (parts.length === 0 && attachments.uploading.length === 0) return null;
  return (
    <ul className="attached" aria-label="Attached files">
      {parts.map((part, index) => (
        <li key={index} className="attached-file">
          <Icon name="file" size={14} />
          <span className="attached-name" title={part.name}>
            {part.name}
          </span>
          {part.type === 'file' ? <span className="attached-note">{bytesText(part.bytes)}</span> : null}
          <IconButton icon="close" label={`Remove ${part.name}`} size={13} onClick={() => attachments.remove(part)} />
        </li>
      ))}
      {attachments.uploading.map((name, index) => (
        <li key={`up-${index}`} className="attached-file is-uploading">
          <span className="pulse" aria-hidden="true" />
          <span className="attached-name">{name}</span>
        </li>
      ))}
    </ul>
  );
}

function pasteFiles(event: ClipboardEvent, onFiles: Attachments['add']): void {
  const files = [...event.clipboardData.files];
  // Programs put a picture beside copied text: the text is what was meant then.
  if (files.length === 0 || event.clipboardData.types.includes('text/plain')) return;
  event.preventDefault();
  onFiles(files);
}

/** The whole window takes files: aiming at a text box is no pleasure. */
function DropTarget({
  onFiles,
  children,
}: {
  readonly onFiles: Attachments['add'];
  readonly children: ReactNode;
}): ReactNode {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const carriesFiles = (event: { dataTransfer: DataTransfer | null }): boolean =>
      event.dataTransfer?.types.includes('Files') === true;
    const onOver = (event: globalThis.DragEvent): void => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const onLeave = (event: globalThis.DragEvent): void => {
      if (event.relatedTarget === null) setOver(false);
    };
    addEventListener('dragover', onOver);
    addEventListener('dragleave', onLeave);
    return () => {
      removeEventListener('dragover', onOver);
      removeEventListener('dragleave', onLeave);
    };
  }, []);
  const onDrop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    onFiles([...event.dataTransfer.files]);
  };
  return (
    <div className="composer">
      {children}
      {isOver ? (
        <div className="drop" onDrop={onDrop} onDragOver={(event) => event.preventDefault()}>
          Drop files to attach them
        </div>
      ) : null}
    </div>
  );
}
