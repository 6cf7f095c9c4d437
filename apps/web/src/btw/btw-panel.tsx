/**
 * Asking beside the conversation: a box above the composer that one opens, and that leaves nothing unless it is kept.
 *
 * 1. Closing it, opening another session and asking anew cancel the answer that is being written.
 * 2. What was kept is shown in the conversation; the box says so and can be closed.
 */
import { useEffect, useRef, useState, type KeyboardEvent, type ReactNode } from 'react';
import { BtwClient, type BtwState } from '@holdfast/client';
import { useBtw, type SideQuestion } from '@holdfast/react';
import type { SessionId } from '@holdfast/protocol/ids';
import { Markdown } from '../markdown/markdown.tsx';
import { faultText } from '../session/explain.ts';
import { gatewayAddress } from '../shell/addresses.ts';
import { IconButton } from '../ui/button.tsx';
import { useNotify } from '../ui/notices.tsx';

const open = (): BtwClient => new BtwClient({ baseUrl: gatewayAddress() });

export function BtwPanel({
  sessionId,
  onClose,
}: {
  readonly sessionId: SessionId;
  readonly onClose: () => void;
}): ReactNode {
  const btw = useBtw(sessionId, open);
  return (
    <section className="btw" aria-label="Side question">
      <header className="btw-head">
        <span>Ask beside the conversation. Nothing of it stays unless you keep it.</span>
        <IconButton icon="close" label="Close the side question" size={15} onClick={onClose} />
      </header>
      {btw.state === null ? null : <Answer state={btw.state} btw={btw} />}
      <Question onAsk={btw.ask} onClose={onClose} />
    </section>
  );
}

function Question({
  onAsk,
  onClose,
}: {
  readonly onAsk: (question: string) => void;
  readonly onClose: () => void;
}): ReactNode {
  const [text, setText] = useState('');
  const input = useRef<HTMLInputElement>(null);
  // The person asked for it by opening the box.
  useEffect(() => input.current?.focus(), []);
  const question = text.trim();
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== 'Escape' || event.nativeEvent.isComposing) return;
    // It is this that is left, not the turn that is stopped.
    event.preventDefault();
    onClose();
  };
  return (
    <form
      className="btw-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (question === '') return;
        onAsk(question);
        setText('');
      }}
    >
      <input
        ref={input}
        className="btw-text"
        aria-label="Side question"
        placeholder="What do you want to know?"
        maxLength={8_000}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <button type="submit" className="button is-primary" disabled={question === ''}>
        Ask
      </button>
    </form>
  );
}

function Answer({ state, btw }: { readonly state: BtwState; readonly btw: SideQuestion }): ReactNode {
  const { status, question, text, kept } = state;
  const notify = useNotify();
  const isRunning = status === 'asking' || status === 'answering';
  const canKeep = (status === 'completed' || status === 'limit') && text !== '';
  const keep = async (): Promise<void> => {
    const result = await btw.keep();
    if (result?.kind === 'fault') notify({ kind: 'error', text: faultText(result.fault) });
  };
  return (
    <div className="btw-answer" data-status={status} aria-busy={isRunning}>
      <p className="btw-question">{question}</p>
      <Markdown key={question} text={text} isStreaming={isRunning} />
      <footer className="btw-foot">
        <output>{kept ? 'Kept in the conversation' : statusText(state)}</output>
        {isRunning ? (
          <button type="button" className="button is-quiet" onClick={btw.cancel}>
            Cancel
          </button>
        ) : null}
        {canKeep && !kept ? (
          <button type="button" className="button is-quiet" onClick={() => void keep()}>
            Keep
          </button>
        ) : null}
      </footer>
    </div>
  );
}

function statusText({ status, fault }: BtwState): string {
  switch (status) {
    case 'asking':
    case 'answering':
      return 'Answering';
    case 'completed':
      return '';
    case 'cancelled':
      return 'Cancelled';
    case 'interrupted':
      return 'Interrupted: ask it again';
    case 'limit':
      return 'Stopped at a limit';
    case 'failed':
    case 'refused':
      return fault === undefined ? 'No answer' : faultText(fault);
  }
}
