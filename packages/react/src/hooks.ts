/**
 * The hooks. A session is followed while a component that uses it is mounted; switching to another and back goes on from
 * what was shown.
 */
import { useCallback, useEffect, useMemo, useRef, useSyncExternalStore } from 'react';

import type {
  AnswerResult,
  ConnectionState,
  HoldfastClient,
  Message,
  OpenPrompt,
  OutboxItem,
  SendOptions,
  Session,
  SessionList,
  SessionListState,
  SessionState,
  StopResult,
  Turn,
  TurnEndNotice,
} from '@holdfast/client';

import { useClient } from './context.tsx';
import { draftsOf } from './drafts.ts';
import { useSelected } from './use-selected.ts';

const whole = <T>(state: T): T => state;

/** The session's methods. Does not follow it by itself. */
export function useSessionHandle(id: string): Session {
  const client = useClient();
  return useMemo(() => client.session(id), [client, id]);
}

/** What a session shows, or the part of it that `selector` takes: the component renders again when that part changes. */
export function useSession(id: string): SessionState;
export function useSession<T>(id: string, selector: (state: SessionState) => T): T;
export function useSession<T>(id: string, selector?: (state: SessionState) => T): T | SessionState {
  return useSelected<SessionState, T | SessionState>(useSessionHandle(id).store, selector ?? whole);
}

/** One message, by its id: a token in another renders nothing here. undefined: it is not shown. */
export function useMessage(id: string, messageId: string): Message | undefined {
  return useSession(
    id,
    useCallback((state) => state.messages.findLast((message) => message.id === messageId), [messageId]),
  );
}

export interface Sessions extends Pick<SessionList, 'more' | 'search'> {
  readonly state: SessionListState;
}

/** The session list, live while it is mounted. */
export function useSessions(): Sessions {
  const { sessions } = useClient();
  const state = useSelected(sessions, whole);
  return useMemo(
    () => ({ state, more: () => sessions.more(), search: (query) => sessions.search(query) }),
    [sessions, state],
  );
}

export interface Composer {
  /** The draft of this session: it stays when another is opened. */
  readonly text: string;
  readonly setText: (text: string) => void;
  /**
   * Sends the draft and empties it. A session that does not exist yet is made first; if that fails, the draft is back.
   * @returns undefined where there is nothing to send.
   */
  readonly send: (options?: SendOptions) => Promise<Turn> | undefined;
  readonly canSend: boolean;
  /** A turn runs or waits: what is sent now is queued. */
  readonly isBusy: boolean;
  readonly stop: () => Promise<StopResult>;
  /** Sends that the transcript does not show yet. */
  readonly outbox: readonly OutboxItem[];
  readonly retry: (item: OutboxItem) => void;
  readonly discard: (item: OutboxItem) => void;
}

export function useComposer(id: string): Composer {
  const client = useClient();
  const session = useSessionHandle(id);
  const drafts = draftsOf(client);
  const text = useSyncExternalStore(
    drafts.subscribe,
    () => drafts.get(id),
    () => '',
  );
  const { isBusy, outbox } = useSession(id, busyAndOutbox);
  return useMemo(
    () => ({
      text,
      isBusy,
      outbox,
      canSend: text.trim() !== '',
      setText: (next) => drafts.set(id, next),
      send: (options) => {
        // The store, not the render: two clicks in one frame send once.
        const draft = drafts.get(id);
        if (draft.trim() === '' && (options?.parts?.length ?? 0) === 0) return undefined;
        drafts.set(id, '');
        return begun(client, session).then(
          () => session.send(draft, options),
          (error: unknown) => {
            if (drafts.get(id) === '') drafts.set(id, draft);
            throw error;
          },
        );
      },
      stop: () => session.stop(),
      retry: ({ clientId }) => session.retry(clientId),
      discard: ({ clientId }) => session.discard(clientId),
    }),
    [text, isBusy, outbox, drafts, id, session, client],
  );
}

/** A session that the gateway does not have is made by its first message. */
async function begun(client: HoldfastClient, { id, store }: Session): Promise<void> {
  if (store.getSnapshot().status === 'missing') await client.createSession({ id });
}

const busyAndOutbox = ({ view, outbox }: SessionState): Pick<Composer, 'isBusy' | 'outbox'> => ({
  isBusy: view.turn !== null || view.queue.length > 0,
  outbox,
});

export interface Prompts {
  /** Open ones, oldest first. */
  readonly prompts: readonly OpenPrompt[];
  readonly answer: (prompt: Pick<OpenPrompt, 'promptId'>, answer: string) => Promise<AnswerResult>;
}

export function usePrompts(id: string): Prompts {
  const session = useSessionHandle(id);
  const prompts = useSession(id, openPrompts);
  return useMemo(
    () => ({ prompts, answer: ({ promptId }, answer) => session.answer(promptId, answer) }),
    [prompts, session],
  );
}

const openPrompts = (state: SessionState): readonly OpenPrompt[] => state.view.prompts;

/** How the connection stands: of a session, or over all. */
export function useConnection(id?: string): ConnectionState {
  const client = useClient();
  const store = useMemo(() => (id === undefined ? undefined : client.session(id).store), [client, id]);
  return useSelected<ConnectionState | SessionState, ConnectionState>(store ?? client.connection, connectionIn);
}

const connectionIn = (state: ConnectionState | SessionState): ConnectionState =>
  'connection' in state ? state.connection : state;

/** Once for the end of each turn of the sessions that are followed: sounds, notifications, titles. */
export function useTurnEnd(listener: (end: TurnEndNotice) => void): void {
  const client: HoldfastClient = useClient();
  const latest = useRef(listener);
  useEffect(() => {
    latest.current = listener;
  }, [listener]);
  useEffect(() => client.onTurnEnd((end) => latest.current(end)), [client]);
}
