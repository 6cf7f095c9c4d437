/**
 * Where unsent messages survive: the port, and memory. `idb-outbox.ts` keeps them in a browser, `node/file-outbox.ts` in a file.
 *
 * 1. `put` replaces by `clientId`. What it resolved for is found by `all` after a reload.
 * 2. Several tabs or processes may share one store. Nobody locks: a message that goes out twice is one message, by its key.
 * 3. A failure is a rejection; the outbox goes on without that store and says so once (`onError`).
 */
import type { InputPart, Subject, WhenBusy } from '@holdfast/protocol/entry';
import type { ClientId, SessionId, TurnId } from '@holdfast/protocol/ids';

/** A message on its way, as plain JSON. */
export interface StoredSend {
  readonly clientId: ClientId;
  readonly sessionId: SessionId;
  readonly baseUrl: string;
  /** Who sent it; null where that was not known yet. It is never sent as somebody else. */
  readonly subject: Subject | null;
  /** Grows within a store: the order of sending. */
  readonly order: number;
  readonly at: number;
  readonly text: string;
  readonly parts: readonly InputPart[];
  readonly whenBusy: WhenBusy;
  readonly merge?: boolean;
  readonly after?: TurnId | null;
}

export interface OutboxStore {
  all(): Promise<readonly StoredSend[]>;
  put(send: StoredSend): Promise<void>;
  has(clientId: ClientId): Promise<boolean>;
  delete(clientId: ClientId): Promise<void>;
  close(): Promise<void>;
}

export function memoryOutbox(): OutboxStore {
  const sends = new Map<ClientId, StoredSend>();
  return {
    all: async () => [...sends.values()],
    put: async (send) => void sends.set(send.clientId, send),
    has: async (clientId) => sends.has(clientId),
    delete: async (clientId) => void sends.delete(clientId),
    close: async () => {},
  };
}
