/**
 * The conversation: every message of the branch that is shown, in order, and what is on its way into it.
 *
 * T1. Rows are keyed by what they are (`rows.ts`), so that nothing is ever wiped to be shown again.
 * T2. Rows that are far from the screen are laid out when they come near (`content-visibility` in `styles/transcript.css`):
 *     all that the SDK holds (some 500 messages) stay in the page, where the browser's own search and selection find them.
 */
import { Fragment, useCallback, useEffect, useMemo, useRef, type ReactNode } from 'react';
import type { SessionState } from '@holdfast/client';
import type { Subject } from '@holdfast/protocol/entry';
import type { PromptId } from '@holdfast/protocol/ids';
import type { View } from '@holdfast/protocol/view';
import type { Intents } from '../session/intents.ts';
import { Icon } from '../ui/icons.tsx';
import { forksOf, type Fork } from './branches.ts';
import { AnswerView, QuestionView, SendingView, StartingView } from './message.tsx';
import type { OpenState } from './prompt.tsx';
import type { Row } from './rows.ts';
import { useScrollPlace, type UsedScrollPlace } from './use-scroll-place.ts';

export interface TranscriptProps {
  readonly state: SessionState;
  readonly rows: readonly Row[];
  readonly me: Subject | null;
  readonly intents: Intents;
}

export function Transcript({ state, rows, me, intents }: TranscriptProps): ReactNode {
  const { view, earlier } = state;
  const { scroller, content, isHeld, jump, letGo } = useScrollPlace(rows[0]?.key);
  // Who compares versions of a question reads on from there, not from the end of each.
  const fromHere = useMemo(
    (): Intents => ({
      ...intents,
      switchBranch: (turnId) => {
        letGo();
        return intents.switchBranch(turnId);
      },
    }),
    [intents, letGo],
  );
  useJumpOnSend(rows, jump);
  const forks = useMemo(() => forksOf({ turns: view.turns, leaf: view.leaf }), [view.turns, view.leaf]);
  const promptState = usePromptState(view);
  return (
    <div className="transcript-frame">
      <div ref={scroller} className="transcript" role="log" aria-live="off" aria-label="Conversation">
        <div ref={content} className="transcript-rows">
          {earlier.more ? <Earlier earlier={earlier} root={scroller} onRead={intents.earlier} /> : null}
          {rows.map((row, index) => (
            <Fragment key={row.key}>
              {earlier.gap && isFirstOfWindow(row, view) ? <Gap onLatest={intents.latest} /> : null}
              <RowView
                row={row}
                isLast={index === rows.length - 1}
                view={view}
                forks={forks}
                me={me}
                promptState={promptState}
                intents={row.kind === 'message' && row.message.role === 'user' ? fromHere : intents}
              />
            </Fragment>
          ))}
        </div>
      </div>
      <button type="button" className="jump" hidden={isHeld} onClick={jump} aria-label="Jump to the latest message">
        <Icon name="down" size={16} />
        {view.turn?.state === 'running' ? 'Writing below' : 'Latest'}
      </button>
    </div>
  );
}

/** Who sends something wants to see what comes of it. */
function useJumpOnSend(rows: readonly Row[], jump: () => void): void {
  const sending = rows.findLast((row) => row.kind === 'sending')?.key;
  useEffect(() => {
    if (sending !== undefined) jump();
  }, [sending, jump]);
}

interface RowProps {
  readonly row: Row;
  readonly isLast: boolean;
  readonly view: View;
  readonly forks: ReadonlyMap<string, Fork>;
  readonly me: Subject | null;
  readonly promptState: (promptId: PromptId) => OpenState;
  readonly intents: Intents;
}

function RowView({ row, isLast, view, forks, me, promptState, intents }: RowProps): ReactNode {
  if (row.kind === 'starting') return <StartingView item={row.item} />;
  if (row.kind === 'sending') return <SendingView item={row.item} intents={intents} />;
  const { message } = row;
  const fork = forks.get(message.id);
  if (message.role === 'user')
    return (
      <QuestionView
        message={message}
        fork={fork}
        isForeign={me !== null && message.author !== undefined && message.author !== me}
        intents={intents}
      />
    );
  return (
    <AnswerView
      message={message}
      fork={fork}
      isStopping={view.turn?.messageId === message.id && view.turn.stopping !== null}
      isLast={isLast && view.turn === null}
      promptState={promptState}
      intents={intents}
    />
  );
}

/** Changes only when a prompt does: the messages that hold none do not care, those that do are few. */
function usePromptState({ prompts, turn }: View): (promptId: PromptId) => OpenState {
  const answers = turn?.answers;
  return useCallback(
    (promptId) => {
      const open = prompts.find((prompt) => prompt.promptId === promptId);
      if (open !== undefined) return { kind: 'open', deadlineAt: open.deadlineAt };
      const given = answers?.find((answer) => answer.promptId === promptId);
      return given === undefined ? { kind: 'closed' } : { kind: 'taken', answer: given.answer };
    },
    [prompts, answers],
  );
}

interface EarlierProps {
  readonly earlier: SessionState['earlier'];
  readonly root: UsedScrollPlace['scroller'];
  readonly onRead: () => Promise<boolean>;
}

/** Reads the page before when it comes near, and says so to those who do not scroll. */
function Earlier({ earlier: { busy, fault }, root, onRead }: EarlierProps): ReactNode {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    const element = button.current;
    // After a failure it waits for the button.
    if (element === null || busy || fault !== null) return undefined;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.at(-1)?.isIntersecting === true) void onRead();
      },
      { root: root.current, rootMargin: '600px 0px 0px' },
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, [busy, fault, onRead, root]);
  return (
    <button ref={button} type="button" className="earlier" disabled={busy} onClick={() => void onRead()}>
      {busy ? 'Reading earlier messages' : fault === null ? 'Earlier messages' : 'Earlier messages: try again'}
    </button>
  );
}

const isFirstOfWindow = (row: Row, { messages }: View): boolean =>
  row.kind === 'message' && row.message.id === messages[0]?.id;

const Gap = ({ onLatest }: { readonly onLatest: () => void }): ReactNode => (
  <div className="aside">
    <Icon name="alert" size={15} />
    <span>Between these and the latest are messages that are not shown.</span>
    <button type="button" className="link-button" onClick={onLatest}>
      Back to the latest
    </button>
  </div>
);
