/**
 * Unsent messages in IndexedDB, shared by the tabs of an origin. Where the browser refuses it (private windows of some), each
 * call rejects and the outbox goes on in memory.
 */
import type { OutboxStore, StoredSend } from './outbox-store.ts';

const STORE = 'sends';

export function idbOutbox(name: string = 'holdfast-outbox'): OutboxStore {
  let opening: Promise<IDBDatabase> | undefined;

  function open(): Promise<IDBDatabase> {
    opening ??= new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(name, 1);
      request.addEventListener('upgradeneeded', () => request.result.createObjectStore(STORE, { keyPath: 'clientId' }));
      request.addEventListener('success', () => {
        // Another tab wants a newer version, or the person clears the site's data: the next call opens again.
        for (const end of ['versionchange', 'close'])
          request.result.addEventListener(end, () => closeNow(request.result));
        resolve(request.result);
      });
      request.addEventListener('error', () => reject(request.error!));
    });
    return opening;
  }

  function closeNow(db: IDBDatabase): void {
    opening = undefined;
    db.close();
  }

  /** Resolves when the transaction is complete: what it wrote is there after a crash of the page. */
  async function run<T>(mode: IDBTransactionMode, use: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    const transaction = (await open()).transaction(STORE, mode);
    const request = use(transaction.objectStore(STORE));
    return new Promise<T>((resolve, reject) => {
      transaction.addEventListener('complete', () => resolve(request.result));
      transaction.addEventListener('abort', () => reject(transaction.error!));
    });
  }

  return {
    all: () => run('readonly', (store) => store.getAll() as IDBRequest<StoredSend[]>),
    put: (send) => run('readwrite', (store) => store.put(send)).then(() => undefined),
    has: (clientId) => run('readonly', (store) => store.getKey(clientId)).then((key) => key !== undefined),
    delete: (clientId) => run('readwrite', (store) => store.delete(clientId)),
    close: async () => {
      if (opening !== undefined) closeNow(await opening);
    },
  };
}
