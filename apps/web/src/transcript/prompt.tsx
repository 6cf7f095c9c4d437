/**
 * A question to the person: an approval or a free question, answered by its id and by nothing else (R28).
 *
 * P1. What is shown follows the log: `open` until an answer is in it, whoever gave it. Pressing a button disables the
 *     buttons; it does not pretend that the answer is in.
 * P2. What is on record stays to be seen, with who answered.
 */
import { useState, type FormEvent, type ReactNode } from 'react';
import type { PromptPart } from '@holdfast/protocol/view';
import { CHOICE_LABELS, promptText } from '../session/explain.ts';
import { Icon } from '../ui/icons.tsx';
import { useNow } from '../ui/use-timer.ts';
import { durationText } from '../ui/words.ts';

export type OpenState =
  | { readonly kind: 'open'; readonly deadlineAt: string | null }
  /** The answer is in the log and the agent goes on with it in a moment. */
  | { readonly kind: 'taken'; readonly answer: string }
  | { readonly kind: 'closed' };

export interface PromptProps {
  readonly part: PromptPart;
  readonly open: OpenState;
  readonly onAnswer: (prompt: PromptPart, answer: string) => void | Promise<boolean>;
}

export function Prompt({ part, open, onAnswer }: PromptProps): ReactNode {
  const { kind, title, detail } = part;
  const isOpen = part.outcome === null && open.kind === 'open';
  return (
    <section
      className={isOpen ? 'card prompt is-open' : 'card prompt'}
      aria-label={kind === 'approval' ? 'Approval' : 'Question'}
    >
      <div className="card-head">
        <Icon name={kind === 'approval' ? 'alert' : 'thought'} size={16} />
        <span className="card-title">{title}</span>
        {isOpen && open.deadlineAt !== null ? <Deadline at={open.deadlineAt} /> : null}
      </div>
      {detail === '' ? null : (
        <p className={kind === 'approval' ? 'prompt-detail is-code' : 'prompt-detail'}>{detail}</p>
      )}
      {isOpen ? <Choices part={part} onAnswer={onAnswer} /> : <Recorded part={part} open={open} />}
    </section>
  );
}

function Choices({ part, onAnswer }: Omit<PromptProps, 'open'>): ReactNode {
  const [isSending, setSending] = useState(false);
  const answer = async (text: string): Promise<void> => {
    setSending(true);
    await onAnswer(part, text);
    // P1: if it is in, the log says so and this is gone. If not, it can be tried again.
    setSending(false);
  };
  return (
    <div className="prompt-choices">
      {part.choices.map((choice) => (
        <button
          key={choice}
          type="button"
          className={choiceClass(part, choice)}
          disabled={isSending}
          onClick={() => void answer(choice)}
        >
          {part.kind === 'approval' ? (CHOICE_LABELS[choice] ?? choice) : choice}
        </button>
      ))}
      {part.kind === 'question' ? <FreeAnswer isSending={isSending} onAnswer={(text) => void answer(text)} /> : null}
    </div>
  );
}

const choiceClass = ({ kind, choices }: PromptPart, choice: string): string => {
  if (kind === 'approval' && choice === 'deny') return 'button is-quiet';
  return choice === choices[0] ? 'button is-primary' : 'button';
};

interface FreeAnswerProps {
  readonly isSending: boolean;
  readonly onAnswer: (text: string) => void;
}

function FreeAnswer({ isSending, onAnswer }: FreeAnswerProps): ReactNode {
  const [text, setText] = useState('');
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (text.trim() !== '') onAnswer(text.trim());
  };
  return (
    <form className="prompt-free" onSubmit={submit}>
      <input
        className="input"
        value={text}
        placeholder="Something else"
        aria-label="Another answer"
        disabled={isSending}
        onChange={(event) => setText(event.target.value)}
      />
      <button type="submit" className="button" disabled={isSending || text.trim() === ''}>
        Answer
      </button>
    </form>
  );
}

/** P2. */
function Recorded({ part, open }: Omit<PromptProps, 'onAnswer'>): ReactNode {
  const { kind, outcome, answer, by } = part;
  if (outcome === null)
    return (
      <p className="prompt-record">{open.kind === 'taken' ? promptText(kind, 'answered', open.answer) : 'Closing'}</p>
    );
  return (
    <p className="prompt-record" data-outcome={outcome === 'answered' && answer !== 'deny' ? 'yes' : 'no'}>
      <Icon name={outcome === 'answered' && answer !== 'deny' ? 'check' : 'close'} size={15} />
      {promptText(kind, outcome, answer)}
      {by === undefined ? null : <span className="prompt-by">by {by}</span>}
    </p>
  );
}

function Deadline({ at }: { readonly at: string }): ReactNode {
  const leftMs = Date.parse(at) - useNow(1_000);
  return <span className="card-note">{leftMs > 0 ? `${durationText(leftMs)} left` : 'expires now'}</span>;
}
