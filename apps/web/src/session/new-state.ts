/** The state of a session that nobody has begun yet: what the page shows before the first message. */
import type { Readable, SessionState } from '@holdfast/client';
import type { SessionId } from '@holdfast/protocol/ids';
import { EMPTY_VIEW } from '@holdfast/protocol/view';

const NEW_STATE: SessionState = {
  sessionId: '' as SessionId,
  status: 'ready',
  view: EMPTY_VIEW,
  messages: [],
  earlier: { more: false, busy: false, gap: false, fault: null },
  outbox: [],
  connection: { kind: 'idle' },
};

export const newSessionStore: Readable<SessionState> = {
  getSnapshot: () => NEW_STATE,
  getServerSnapshot: () => NEW_STATE,
  subscribe: () => () => undefined,
};
