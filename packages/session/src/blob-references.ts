/**
 * What refers to a blob, so that its bytes go with the last reference and never before (R92).
 *
 * 1. A session refers to the files of its messages and to what its tools wrote: a row of `BLOB_TABLE` in the session's stream, committed with
 *    the message's admission, or before a tool's bytes are stored.
 * 2. An upload that no message has named yet is a draft of its subject: a row of `DRAFT_TABLE` in the subject's own stream, there before the
 *    bytes are. The message that names it takes it over. A draft that stays one goes after `DRAFT_MS`.
 * 3. Bytes that are erased while a reference to them is being made are written back: the eraser looks again afterwards.
 * 4. A subject may read what it uploaded and what a session of its own refers to. A hash alone opens nothing.
 */
import { FaultError, type SessionId, type Subject } from '@holdfast/protocol';
import type { Log, RowChange, StreamName } from '@holdfast/log';
import type { Blobs } from './blobs.ts';
import { BLOB_TABLE, sessionIdOf, streamOf } from './rows.ts';

const DRAFT_TABLE = 'blob-draft';
export const DRAFT_MS: number = 24 * 3_600_000;
const PAGE = 500;
/** Of so many sessions that hold one file, those of a subject are looked for. */
const READERS_MAX = 10_000;
const NO_BYTES = new Uint8Array();

const draftStream = (subject: Subject): StreamName => `drafts/${encodeURIComponent(subject)}`;

export class BlobReferences {
  readonly #log: Log;
  readonly #blobs: Blobs;

  constructor(log: Log, blobs: Blobs) {
    this.#log = log;
    this.#blobs = blobs;
  }

  /** Rule 2. @throws FaultError if the store gives no answer */
  async draft(subject: Subject, hash: string): Promise<void> {
    const stream = draftStream(subject);
    const created = await this.#log.create(stream, { contentType: 'application/json' });
    if (created.kind === 'unavailable') throw new FaultError(created.fault);
    const order = await this.#log.now();
    await this.#put(stream, { table: DRAFT_TABLE, key: hash, group: hash, order, value: NO_BYTES });
  }

  /** Rule 1, for what a tool writes. @throws FaultError if the store gives no answer */
  async hold(sessionId: SessionId, hash: string): Promise<void> {
    await this.#put(streamOf(sessionId), { table: BLOB_TABLE, key: hash, group: hash, order: 0, value: NO_BYTES });
  }

  /** After the admission of a message of this author. What fails here is swept later. */
  async takeOver(author: Subject, hashes: readonly string[]): Promise<void> {
    const rows = hashes.map((key) => ({ table: DRAFT_TABLE, key, remove: true }) as const);
    if (rows.length > 0) await this.#log.append(draftStream(author), { records: [], rows });
  }

  /** Erases those of the blobs that nothing refers to any more. */
  async release(hashes: readonly string[]): Promise<void> {
    for (const hash of hashes) {
      if (await this.#isReferenced(hash)) continue;
      const bytes = await this.#blobs.bytes(hash);
      await this.#blobs.erase(hash);
      // Rule 3.
      if (bytes !== undefined && (await this.#isReferenced(hash))) await this.#blobs.restore(bytes);
    }
  }

  /** Rule 2: ends the drafts that have become too old. */
  async sweep(): Promise<void> {
    const before = (await this.#log.now()) - DRAFT_MS;
    const old = await this.#log.rows.list({ table: DRAFT_TABLE, before, direction: 'ascending', limit: PAGE });
    for (const { stream, key } of old) {
      await this.#log.append(stream, { records: [], rows: [{ table: DRAFT_TABLE, key, remove: true }] });
      await this.release([key]);
    }
  }

  /** Rule 4. `ownerOf` tells whose a session is. */
  async mayRead(
    subject: Subject,
    hash: string,
    ownerOf: (sessionId: SessionId) => Promise<Subject | undefined>,
  ): Promise<boolean> {
    if ((await this.#log.rows.get(DRAFT_TABLE, draftStream(subject), hash)) !== undefined) return true;
    const rows = await this.#log.rows.list({ table: BLOB_TABLE, group: hash, limit: READERS_MAX });
    for (const { stream } of rows) if ((await ownerOf(sessionIdOf(stream))) === subject) return true;
    return false;
  }

  /** Rule 4, for a message of this author in this session: naming a file must not open it. */
  async mayName(
    author: Subject,
    sessionId: SessionId,
    hash: string,
    ownerOf: (sessionId: SessionId) => Promise<Subject | undefined>,
  ): Promise<boolean> {
    const held = await this.#log.rows.get(BLOB_TABLE, streamOf(sessionId), hash);
    return held !== undefined || (await this.mayRead(author, hash, ownerOf));
  }

  async #isReferenced(hash: string): Promise<boolean> {
    const [sessions, drafts] = await Promise.all(
      [BLOB_TABLE, DRAFT_TABLE].map((table) => this.#log.rows.list({ table, group: hash, limit: 1 })),
    );
    return (sessions?.length ?? 0) + (drafts?.length ?? 0) > 0;
  }

  async #put(stream: StreamName, row: RowChange): Promise<void> {
    const verdict = await this.#log.append(stream, { records: [], rows: [row] });
    if (verdict.kind === 'unavailable') throw new FaultError(verdict.fault);
  }
}
