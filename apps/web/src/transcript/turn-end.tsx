/**
 * How a turn stands or ended: one line of constant height below its answer, so that settling moves nothing (E7).
 */
import type { ReactNode } from 'react';
import { faultInfo } from '@holdfast/protocol/fault';
import type { Message } from '@holdfast/protocol/view';
import { beyondTitle, cureOf, OUTCOMES } from '../session/explain.ts';
import { Icon } from '../ui/icons.tsx';
import { useNow } from '../ui/use-timer.ts';
import { countOf, durationText } from '../ui/words.ts';

/** The line of a turn that goes on. */
export function Progress({
  message,
  isStopping,
}: {
  readonly message: Message;
  readonly isStopping: boolean;
}): ReactNode {
  const isParked = message.state === 'parked';
  return (
    <span className="turn-progress">
      <span className={isParked ? 'pulse is-parked' : 'pulse'} aria-hidden="true" />
      {isStopping ? 'Stopping' : isParked ? 'Waiting for you' : doing(message)}
      {isParked ? null : <Elapsed since={message.at} />}
    </span>
  );
}

function Elapsed({ since }: { readonly since: string }): ReactNode {
  const elapsedMs = useNow(1_000) - Date.parse(since);
  return elapsedMs < 2_000 ? null : (
    <span className="turn-elapsed">{durationText(Math.floor(elapsedMs / 1_000) * 1_000).replace('.0', '')}</span>
  );
}

function doing({ parts }: Message): string {
  const last = parts.at(-1);
  if (last === undefined) return 'Waiting for the first word';
  if (last.type === 'thinking') return 'Thinking';
  if (last.type === 'tool' && last.state === 'running') return `Running ${last.name}`;
  return 'Writing';
}

export function UsageLine({ message }: { readonly message: Message }): ReactNode {
  const { usage, state } = message;
  const said =
    state === 'completed' || state === 'sent' || state === 'streaming' || state === 'parked' ? '' : OUTCOMES[state];
  if (usage === undefined) return <span className="turn-usage">{said}</span>;
  const { inputTokens, outputTokens, durationMs, firstTokenMs } = usage;
  const writingMs = durationMs - (firstTokenMs ?? 0);
  const pace = writingMs > 0 && outputTokens > 0 ? `${Math.round((outputTokens * 1_000) / writingMs)} a second` : '';
  // Of a turn whose process died nobody has counted them.
  const counted = outputTokens > 0 ? countOf(outputTokens, 'token') : '';
  const first = firstTokenMs === undefined ? '' : `first after ${durationText(firstTokenMs)}`;
  return (
    <span
      className="turn-usage"
      title={[`${countOf(inputTokens, 'token')} read`, first, pace].filter(Boolean).join(', ')}
    >
      {[said, counted, durationText(durationMs)].filter(Boolean).join(' · ')}
    </span>
  );
}

export interface EndingProps {
  readonly message: Message;
  /** Undefined: a newer turn has taken its place, or it is too old. */
  readonly onContinue: (() => void) | undefined;
  readonly onAgain: (() => void) | undefined;
}

/** What went wrong, and what can be done about it. Nothing where nothing did. */
export function Ending({ message, onContinue, onAgain }: EndingProps): ReactNode {
  const { state, reason, fault } = message;
  if (state !== 'failed' && state !== 'interrupted' && state !== 'limit') return null;
  const title = fault === undefined ? OUTCOMES[state] : faultInfo(fault).title;
  const more = beyondTitle(title, reason ?? '');
  const cure = fault === undefined ? undefined : cureOf(fault);
  return (
    <section className={`card ending is-${state}`} aria-label={OUTCOMES[state]}>
      <div className="card-head">
        <Icon name="alert" size={16} />
        <span className="card-title">{title}</span>
      </div>
      {more === '' ? null : <p className="ending-reason">{more}</p>}
      {cure === undefined ? null : <p className="ending-cure">{cure}</p>}
      <div className="ending-actions">
        {onContinue === undefined || state === 'failed' ? null : (
          <button type="button" className="button is-primary" onClick={onContinue}>
            Continue
          </button>
        )}
        {onAgain === undefined ? null : (
          <button type="button" className="button" onClick={onAgain}>
            Try again
          </button>
        )}
      </div>
    </section>
  );
}
