/**
 * The log of one session in memory: entries with seqs, their view, and who reads on.
 */
import { formatCursor, parseCursor } from '@holdfast/protocol/cursor';
import type { Command, Entry, EntryBody } from '@holdfast/protocol/entry';
import { fold } from '@holdfast/protocol/fold';
import type { ClientId, SessionId } from '@holdfast/protocol/ids';
import { judge, type Verdict } from '@holdfast/protocol/judge';
import { summaryOf, type SessionSummary } from '@holdfast/protocol/summary';
import { EMPTY_VIEW, type Message, type TurnNode, type View } from '@holdfast/protocol/view';

export interface Admitted {
  readonly seq: number;
  readonly verdict: Verdict;
  readonly command: Command;
  readonly duplicate: boolean;
}

export class MemoryLog {
  readonly sessionId: SessionId;
  readonly #entries: Entry[] = [];
  readonly #receipts = new Map<ClientId, Admitted>();
  readonly #listeners = new Set<(entry: Entry) => void>();
  /** Every turn that there was, for older pages. */
  readonly turns: Map<string, { readonly turn: TurnNode; readonly messages: readonly Message[] }> = new Map();
  view: View = EMPTY_VIEW;

  constructor(sessionId: SessionId) {
    this.sessionId = sessionId;
  }

  /** The same client id with another content is refused by the caller; here the first receipt is the receipt. */
  submit(command: Command): Admitted {
    const known = this.#receipts.get(command.clientId);
    if (known !== undefined) return { ...known, duplicate: true };
    const verdict = judge(this.view, command);
    const admitted = { seq: this.append(command).seq, verdict, command, duplicate: false };
    this.#receipts.set(command.clientId, admitted);
    return admitted;
  }

  append(body: EntryBody): Entry {
    const seq = this.#entries.length + 1;
    const entry: Entry = { ...body, seq, at: new Date(1_700_000_000_000 + seq * 1000).toISOString() };
    this.#entries.push(entry);
    this.view = fold(this.view, entry);
    for (const turn of this.view.turns) {
      const own = new Set([...turn.messageIds, turn.messageId]);
      const messages = [...this.view.messages, ...this.view.offPath].filter(({ id }) => own.has(id));
      this.turns.set(turn.turnId, { turn, messages });
    }
    for (const listener of this.#listeners) listener(entry);
    return entry;
  }

  /** The entries after a cursor; undefined where it names no record of this log. */
  after(text: string): readonly Entry[] | undefined {
    const cursor = parseCursor(text);
    if (cursor === undefined || cursor.seq > this.#entries.length || this.cursorAt(cursor.seq) !== text)
      return undefined;
    return this.#entries.slice(cursor.seq);
  }

  cursorAt(seq: number): string {
    return formatCursor({ seq, tag: Math.imul(seq, 0x9e37_79b1) >>> 0 });
  }

  get summary(): SessionSummary {
    return summaryOf(this.sessionId, this.view);
  }

  get cursor(): string {
    return this.cursorAt(this.view.seq);
  }

  subscribe(listener: (entry: Entry) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
