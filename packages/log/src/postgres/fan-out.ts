/**
 * Commits of other nodes, made known here: `NOTIFY` after the commit, and a slow poll behind it.
 *
 * 1. A notification is a hint. Its records are taken only where they follow exactly what this node knows; otherwise the readers
 *    read. Lost, doubled, late or out of order, it changes what is read when, never what is read.
 * 2. It is sent after the commit on a connection of its own (inside the write transaction it would take a global lock through
 *    the fsync). What gathers while one is being sent goes into the next: one a batch and node at most.
 * 3. The poll asks for the heads of the streams that are read here, and for the last rev of the rows, so a reader learns of everything
 *    within `POLL_MS`.
 * 4. `LISTEN` has a connection of its own that is watched; when it is replaced, the poll runs at once.
 * 5. A node that is alone tells nobody: that would be a sixth of what an append costs. Each says every `BEAT_MS` that it is there,
 *    and when it begins to listen, which the others answer. Whoever heard of nobody for `COMPANY_MS` is alone; where that was wrong,
 *    the others' polls make up for it (rule 1).
 */
import { Client } from 'pg';
import type { Hub } from '../subscription.ts';
import type { LogRecord, StreamName } from '../port.ts';
import { logRecords } from '../record.ts';
import { clientConfig, type Connection, type ConnectionOptions } from './connection.ts';
import type { Query } from './rows.ts';
import { every, monotonicMs, pause } from './wait-clock.ts';
import type { Commit } from './writes.ts';

const CHANNEL = 'holdfast';
/** PostgreSQL takes less than 8,000 bytes. */
const PAYLOAD_BYTES_MAX = 7_900;
/** What waits for the sender beyond this is left to the poll. */
const COMMITS_MAX = 10_000;
const POLL_MS = 500;
const RECONNECT_MS = 250;
const BEAT_MS = 10_000;
const COMPANY_MS = 35_000;

/** `[stream, first, last, at, closed, bodies?]`; without bodies it is a pointer. */
type Hint = readonly [StreamName, number, number, number, 0 | 1, (readonly string[])?];
interface Payload {
  readonly node: string;
  /** It listens from now on, and would hear who is there (rule 5). */
  readonly hello?: true;
  readonly commits?: readonly Hint[];
  readonly deleted?: readonly StreamName[];
  readonly rows?: true;
}

/** Hands on what was heard, or does not (rule 1). */
export type Hearing = (payload: string, hear: (payload: string) => void) => void;

export interface FanOutOptions {
  readonly node: string;
  readonly hub: Hub;
  readonly connection: ConnectionOptions;
  /** Where notifications are sent. */
  readonly sender: Connection;
  readonly query: Query;
  readonly onRows: () => void;
  /** Default: each once, as it comes. */
  readonly hearing?: Hearing;
}

export class FanOut {
  readonly #options: FanOutOptions;
  /** How this node's own notifications begin. */
  readonly #own: string;
  #commits: Commit[] = [];
  #deleted: StreamName[] = [];
  #rows = false;
  /** Rule 5: what is to be said though there is nothing else to say. */
  #beat: 'none' | 'here' | 'hello' = 'none';
  #heardMs = -Infinity;
  #sending = false;
  /** As the last poll found it. */
  #lastRev: number | undefined;
  #listener: Client | undefined;
  #closed = false;
  readonly #stopPoll: () => void;
  readonly #stopBeat: () => void;

  constructor(options: FanOutOptions) {
    this.#options = options;
    this.#own = `${JSON.stringify({ node: options.node }).slice(0, -1)},`;
    this.#stopPoll = every(POLL_MS, () => this.#poll());
    this.#stopBeat = every(BEAT_MS, async () => this.#sayHere('here'));
    void this.#listen();
  }

  publish(commits: readonly Commit[], hasRows: boolean): void {
    if (this.#isAlone()) return;
    for (const commit of commits)
      if (commit.records.length > 0 && this.#commits.length < COMMITS_MAX) this.#commits.push(commit);
    this.#rows ||= hasRows;
    if (!this.#sending) void this.#send();
  }

  publishDeleted(stream: StreamName): void {
    if (this.#isAlone()) return;
    this.#deleted.push(stream);
    this.#rows = true;
    if (!this.#sending) void this.#send();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopPoll();
    this.#stopBeat();
    await this.#listener?.end().catch(() => undefined);
  }

  // ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #isAlone(): boolean {
    return monotonicMs() - this.#heardMs > COMPANY_MS;
  }

  #sayHere(beat: 'here' | 'hello'): void {
    if (this.#beat !== 'hello') this.#beat = beat;
    if (!this.#sending) void this.#send();
  }

  async #send(): Promise<void> {
    this.#sending = true;
    while (this.#commits.length > 0 || this.#deleted.length > 0 || this.#rows || this.#beat !== 'none') {
      const payload = this.#take();
      // A notification that is not sent is found by the poll.
      await this.#options.sender
        .use((client) => client.query({ name: 'notify', text: 'SELECT pg_notify($1, $2)', values: [CHANNEL, payload] }))
        .catch(() => undefined);
    }
    this.#sending = false;
  }

  /** As many hints as fit, with their bodies while there is room for them. */
  #take(): string {
    const deleted = this.#deleted.splice(0, 10);
    const rest = JSON.stringify({
      ...(deleted.length === 0 ? {} : { deleted }),
      ...(this.#rows ? { rows: true } : {}),
      ...(this.#beat === 'hello' ? { hello: true } : {}),
    });
    this.#rows = false;
    this.#beat = 'none';
    const hints: string[] = [];
    let room = PAYLOAD_BYTES_MAX - Buffer.byteLength(this.#own) - Buffer.byteLength(rest) - 20;
    let taken = 0;
    for (; taken < this.#commits.length; taken += 1) {
      const hint = hintOf(this.#commits[taken] as Commit, room);
      room -= Buffer.byteLength(hint) + 1;
      if (room < 0) break;
      hints.push(hint);
    }
    this.#commits.splice(0, taken);
    return `${this.#own}"commits":[${hints.join(',')}]${rest === '{}' ? '}' : `,${rest.slice(1)}`}`;
  }

  // ── hearing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #listen(): Promise<void> {
    while (!this.#closed) {
      const client = new Client({ ...clientConfig(this.#options.connection), query_timeout: 5_000 });
      const lost = new Promise<void>((resolve) => {
        client.on('end', resolve);
        client.on('error', () => resolve());
      });
      // At once, so that `close` ends it whatever it is at.
      this.#listener = client;
      try {
        await client.connect();
        await this.#options.connection.confirm?.(client);
        const { hearing = (payload, hear) => hear(payload) } = this.#options;
        client.on('notification', ({ payload }) => hearing(payload ?? '', (heard) => this.#heard(heard)));
        await client.query(`LISTEN ${CHANNEL}`);
        this.#sayHere('hello');
        await this.#poll();
        await lost;
      } catch {
        // The server is not there; it is tried again below.
      }
      await client.end().catch(() => undefined);
      if (!this.#closed) await pause(RECONNECT_MS);
    }
  }

  #heard(text: string): void {
    if (text.startsWith(this.#own)) return;
    const payload = JSON.parse(text) as Payload;
    this.#heardMs = monotonicMs();
    if (payload.hello === true) this.#sayHere('here');
    for (const hint of payload.commits ?? []) this.#take1(hint);
    for (const stream of payload.deleted ?? []) this.#options.hub.deleted(stream);
    if (payload.rows === true) this.#options.onRows();
  }

  /** Rule 1. */
  #take1([stream, first, last, at, closed, bodies]: Hint): void {
    const { hub } = this.#options;
    if (!hub.has(stream)) return;
    if (bodies !== undefined && hub.headOf(stream) === first - 1) {
      hub.appended(
        stream,
        logRecords(
          first,
          at,
          bodies.map((body) => Buffer.from(body, 'base64')),
        ),
        closed === 1,
      );
    } else hub.advanced(stream, last, closed === 1);
  }

  async #poll(): Promise<void> {
    const { hub, query } = this.#options;
    const names = hub.streams();
    try {
      if (names.length > 0) {
        const rows = await query<{ name: string; head: number; closed: boolean; deleted: boolean }>(
          'SELECT name, head, closed, deleted FROM streams WHERE name = ANY($1)',
          [names],
        );
        for (const { name, head, closed, deleted } of rows) {
          if (deleted) hub.deleted(name);
          else if (head > (hub.headOf(name) ?? 0) || closed) hub.advanced(name, head, closed);
        }
      }
      await this.#pollRows();
    } catch {
      // The next poll, or the return of the connection, finds it.
    }
  }

  /** What was numbered since, and what is still to be. */
  async #pollRows(): Promise<void> {
    const { query, onRows } = this.#options;
    const [rows] = await query<{ lastRev: number; unnumbered: boolean }>(
      'SELECT last_value * is_called::int AS "lastRev", EXISTS (SELECT 1 FROM rows WHERE rev IS NULL) AS unnumbered FROM row_revs',
      [],
    );
    if (rows === undefined || (rows.lastRev === this.#lastRev && !rows.unnumbered)) return;
    this.#lastRev = rows.lastRev;
    onRows();
  }
}

/** With its bodies where they fit into the room. */
function hintOf({ stream, records, closed }: Commit, roomBytes: number): string {
  const [first, last] = [records[0] as LogRecord, records.at(-1) as LogRecord];
  const pointer: Hint = [stream, first.seq, last.seq, first.at, closed ? 1 : 0];
  const bytes = records.reduce((sum, record) => sum + record.bytes.byteLength, 0);
  if (bytes * (4 / 3) < roomBytes) {
    const bodies = records.map(({ bytes: body }) =>
      Buffer.from(body.buffer, body.byteOffset, body.length).toString('base64'),
    );
    const whole = JSON.stringify([...pointer, bodies]);
    if (Buffer.byteLength(whole) < roomBytes) return whole;
  }
  return JSON.stringify(pointer);
}
