/**
 * One session, or the place where one begins: the transcript, what waits, and where one writes. The bridge between the SDK and
 * the components, which know only what they are given.
 *
 * 1. What is shown is the store's snapshot and nothing beside it: busy, stopping and open are read off it (R74).
 * 2. What is done belongs to the session that it was done in, though another is shown when it ends (R67, R72).
 * 3. The composer stays the same element when a new session gets its id: the focus stays where it was.
 */
import { lazy, Suspense, useEffect, useMemo, useRef, useState, type ReactNode, type RefObject } from 'react';
import type { AgentInfo, HoldfastClient, Session, SessionState } from '@holdfast/client';
import { useClient, useConnection } from '@holdfast/react';
import type { Subject } from '@holdfast/protocol/entry';
import { FaultError } from '@holdfast/protocol/fault';
import type { MessageId, SessionId } from '@holdfast/protocol/ids';
import { isBusy, type View } from '@holdfast/protocol/view';
import { Composer } from '../composer/composer.tsx';
import type { Draft, Drafts } from '../composer/drafts.ts';
import { Queue } from '../composer/queue.tsx';
import { ConnectionBanner } from '../shell/connection.tsx';
import { ErrorBoundary } from '../shell/error-boundary.tsx';
import { go } from '../shell/route.ts';
import { isGone, rowsOf } from '../transcript/rows.ts';
import { Transcript } from '../transcript/transcript.tsx';
import { useNotify, type Notify } from '../ui/notices.tsx';
import { useAnnouncement } from './announcement.ts';
import { faultText } from './explain.ts';
import { intentsOf, type Intents } from './intents.ts';
import { newSessionStore } from './new-state.ts';
import { SessionHead } from './session-head.tsx';
import { useReadable } from './use-readable.ts';
import { useReadMark } from './use-read-mark.ts';
import { Welcome } from './welcome.tsx';

/** Who asks nothing loads nothing of it. */
const BtwPanel = lazy(() => import('../btw/btw-panel.tsx').then((module) => ({ default: module.BtwPanel })));

export interface SessionPageProps {
  /** null: a new one. */
  readonly sessionId: SessionId | null;
  readonly me: Subject | null;
  readonly drafts: Drafts;
  readonly onDrawer: () => void;
}

export function SessionPage({ sessionId, me, drafts, onDrawer }: SessionPageProps): ReactNode {
  const client = useClient();
  const session = useMemo(() => (sessionId === null ? null : client.session(sessionId)), [client, sessionId]);
  const state = useReadable(session?.store ?? newSessionStore);
  const connection = useConnection();
  const notify = useNotify();
  const intents = useMemo(() => (session === null ? null : intentsOf(session, notify)), [session, notify]);
  const [agent, setAgent] = useState<string | null>(null);
  const [askingIn, setAskingIn] = useState<SessionId | null>(null);
  const [editing, setEditing] = useState<MessageId | null>(null);
  const text = useRef<HTMLTextAreaElement>(null);
  const { view } = state;
  const { rows, waiting } = useMemo(() => rowsOf(state), [state]);
  const said = useAnnouncement(state);

  const draftKey = sessionId ?? 'new';
  const isAsking = sessionId !== null && askingIn === sessionId;
  const canAsk = view.turns.length > 0;

  useReadMark(session, state);
  const stop = useStop(intents, view);
  useStopKey(stop);

  // Where there is no session any more, what was written is the beginning of another.
  const send = (draft: Draft): Promise<boolean> =>
    intents === null || isGone(state.status)
      ? begin(client, draft, agent, notify)
      : intents.send(draft.text, { parts: draft.parts, whenBusy: draft.whenBusy });
  const keep = (text: string): void => {
    const written = drafts.get(draftKey).text;
    drafts.set(draftKey, { text: written === '' ? text : `${written}\n\n${text}` });
    notify({ kind: 'done', text: 'What you were changing is kept in the message box.' });
  };
  const editLast = (): boolean => {
    const last = waiting.findLast((row) => row.kind === 'queued' && row.item.again === undefined);
    if (last?.kind === 'queued') setEditing(last.item.messageId);
    return last !== undefined;
  };

  return (
    <main className="page" id="main">
      <FocusAtOpen key={sessionId} target={text} />
      <SessionHead
        key={`head-${sessionId}`}
        state={state}
        onRename={intents === null || state.status !== 'ready' ? null : (title) => void intents.rename(title)}
        onDrawer={onDrawer}
        onBtw={canAsk ? () => setAskingIn(isAsking ? null : sessionId) : null}
        isAsking={isAsking}
      />
      <ConnectionBanner state={connection} onNow={() => client.nudge()} />
      <ErrorBoundary what="The conversation" resetKey={sessionId}>
        {intents === null ? (
          <NewSession client={client} agent={agent} onAgent={setAgent} onTry={(text) => send({ ...TRIED, text })} />
        ) : state.status === 'ready' || rows.length > 0 ? (
          <Transcript key={sessionId} state={state} rows={rows} me={me} intents={intents} />
        ) : (
          <NotReady status={state.status} />
        )}
      </ErrorBoundary>
      <div className="dock">
        {isAsking ? (
          <Suspense>
            <BtwPanel
              sessionId={sessionId}
              onClose={() => {
                setAskingIn(null);
                text.current?.focus();
              }}
            />
          </Suspense>
        ) : null}
        {intents === null ? null : (
          <Queue waiting={waiting} editing={editing} onEdit={setEditing} onKeep={keep} intents={intents} />
        )}
        <Composer
          drafts={drafts}
          draftKey={draftKey}
          isBusy={isBusy(view)}
          canStop={view.turn !== null}
          isStopping={view.turn !== null && view.turn.stopping !== null}
          upload={(bytes, file) => client.upload(bytes, file)}
          onSend={send}
          onStop={() => stop?.()}
          onEditLast={editLast}
          textRef={text}
          placeholder={placeholderOf(sessionId, state.status)}
        />
      </div>
      <output className="visually-hidden" aria-live="polite">
        {said}
      </output>
    </main>
  );
}

/** Drawn anew for each session: whoever opens one can write at once. */
function FocusAtOpen({ target }: { readonly target: RefObject<HTMLElement | null> }): ReactNode {
  useEffect(() => {
    // A keyboard that slides in unasked hides half of what one came to read.
    if (matchMedia('(hover: hover)').matches) target.current?.focus();
  }, [target]);
  return null;
}

function placeholderOf(sessionId: SessionId | null, status: SessionState['status']): string {
  if (sessionId === null) return 'Ask something';
  return isGone(status) ? 'Begin another session' : 'Write a message';
}

const TRIED: Draft = { text: '', parts: [], whenBusy: 'queue' };

/** A new session and its first message. The draft is kept until both are safe. */
async function begin(client: HoldfastClient, draft: Draft, agent: string | null, notify: Notify): Promise<boolean> {
  let session: Session;
  try {
    session = await client.createSession(agent === null ? {} : { agent });
  } catch (error) {
    notify({ kind: 'error', text: error instanceof FaultError ? faultText(error.fault) : String(error) });
    return false;
  }
  go(session.id);
  return intentsOf(session, notify).send(draft.text, { parts: draft.parts });
}

interface NewSessionProps {
  readonly client: HoldfastClient;
  readonly agent: string | null;
  readonly onAgent: (name: string) => void;
  readonly onTry: (text: string) => Promise<unknown>;
}

function NewSession({ client, ...props }: NewSessionProps): ReactNode {
  const [agents, setAgents] = useState<readonly AgentInfo[]>([]);
  useEffect(() => {
    let isOver = false;
    client.agents().then(
      (found) => !isOver && setAgents(found),
      // Without the list the default agent answers, and the connection says what is wrong.
      () => undefined,
    );
    return () => {
      isOver = true;
    };
  }, [client]);
  return (
    <div className="transcript">
      <Welcome agents={agents} {...props} />
    </div>
  );
}

function NotReady({ status }: { readonly status: SessionState['status'] }): ReactNode {
  if (!isGone(status)) return <output className="transcript is-loading" aria-label="Reading the session" />;
  return (
    <div className="transcript">
      <div className="welcome">
        <h1>{status === 'deleted' ? 'This session was deleted' : 'There is no such session'}</h1>
        <p className="welcome-lead">
          {status === 'deleted'
            ? 'Its text was erased on every device.'
            : 'Its address may be mistyped, or it belongs to somebody else.'}
        </p>
        <button type="button" className="button is-primary" onClick={() => go(null)}>
          New session
        </button>
      </div>
    </div>
  );
}

/** Stops the turn that is shown, by its id; undefined where there is nothing to stop. */
function useStop(intents: Intents | null, { turn }: View): (() => void) | undefined {
  const turnId = turn === null || turn.stopping !== null ? undefined : turn.turnId;
  return useMemo(
    () => (intents === null || turnId === undefined ? undefined : () => void intents.stop(turnId)),
    [intents, turnId],
  );
}

/** Escape stops what runs, wherever the focus is, unless it closes something first. */
function useStopKey(stop: (() => void) | undefined): void {
  useEffect(() => {
    if (stop === undefined) return undefined;
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.key !== 'Escape' || event.defaultPrevented || event.isComposing) return;
      if (document.querySelector('dialog[open], :popover-open, .app[data-drawer="open"]') === null) stop();
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  }, [stop]);
}
