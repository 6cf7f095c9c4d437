/**
 * What a log can say: the rules that an owner's writes follow, for entries that come from elsewhere (R81). Pure; a file is judged by the
 * same grammar as the log.
 *
 * 1. The first entry opens the session, and no other does. Ids of other commands and of messages are unique.
 * 2. One turn runs at a time. It starts, or starts again right after its start, with attempts 1, 2, 3; its events come while it runs; it
 *    ends at most once, so only the last one can lack its end. What it used and the end of its stream are told once, after its end.
 * 3. A tool is asked for once, and starts and ends only after that; a prompt opens once and closes only after that.
 * 4. A start whose message was taken away a moment before is void: it never was, and has no events.
 */
import {
  EMPTY_VIEW,
  fold,
  isCommand,
  type Command,
  type EntryBody,
  type RunEvent,
  type View,
} from '@holdfast/protocol';
import { ATTEMPTS_MAX } from './machine.ts';

type Told = 'start' | 'usage' | 'stream-end' | 'tool' | 'prompt' | 'client' | 'message';

export class Grammar {
  #view: View = EMPTY_VIEW;
  readonly #told = new Set<string>();

  /** @returns why this entry cannot come next; undefined: it can. */
  take(body: EntryBody): string | undefined {
    const wrong = isCommand(body) ? this.#command(body) : this.#runEvent(body);
    if (wrong === undefined) this.#view = fold(this.#view, { ...body, seq: this.#view.seq + 1, at: EPOCH });
    return wrong;
  }

  #command(body: Command): string | undefined {
    if ((body.type === 'session-open') !== (this.#view.seq === 0)) return 'A log begins with one session-open.';
    if (body.type === 'session-open') return undefined;
    if (!this.#once('client', body.clientId)) return `The client id ${body.clientId} comes twice.`;
    if (body.type !== 'message' && body.type !== 'steer' && body.type !== 'regenerate') return undefined;
    return this.#once('message', body.messageId) ? undefined : `The message ${body.messageId} comes twice.`;
  }

  #runEvent(body: RunEvent): string | undefined {
    if (this.#view.seq === 0) return 'A log begins with one session-open.';
    switch (body.type) {
      case 'turn-start':
        return this.#start(body);
      case 'title':
      case 'title-status':
      case 'steer-end':
        return body.turnId === undefined || this.#has('start', body.turnId) ? undefined : unknown(body);
      case 'usage':
      case 'stream-end':
        if (!this.#has('start', body.turnId) || this.#view.turn?.turnId === body.turnId) return unknown(body);
        return this.#once(body.type, body.turnId) ? undefined : `The ${body.type} of ${body.turnId} comes twice.`;
      default:
        return this.#view.turn?.turnId === body.turnId ? this.#inTurn(body) : unknown(body);
    }
  }

  /** Rules 2 and 4. */
  #start({ turnId, attempt }: Extract<RunEvent, { type: 'turn-start' }>): string | undefined {
    const { turn } = this.#view;
    if (turn !== null && turn.turnId !== turnId) return `${turnId} starts while ${turn.turnId} runs.`;
    const due = turn === null ? 1 : turn.attempt + 1;
    if (turn !== null && turn.lastEvent !== 'turn-start') return `${turnId} starts again after ${turn.lastEvent}.`;
    if (attempt !== due || due > ATTEMPTS_MAX) return `${turnId} starts with attempt ${attempt}.`;
    return this.#once('start', turnId) || turn !== null ? undefined : `${turnId} starts again after its end.`;
  }

  /** Rule 3. */
  #inTurn(body: RunEvent): string | undefined {
    switch (body.type) {
      case 'tool-request':
        return this.#once('tool', body.toolId) ? undefined : `The tool call ${body.toolId} comes twice.`;
      case 'tool-start':
      case 'tool-output':
      case 'tool-end':
        return this.#has('tool', body.toolId) ? undefined : `The tool call ${body.toolId} was never asked for.`;
      case 'prompt-open':
        return this.#once('prompt', body.promptId) ? undefined : `The prompt ${body.promptId} opens twice.`;
      case 'prompt-close':
        return this.#has('prompt', body.promptId) ? undefined : `The prompt ${body.promptId} was never opened.`;
      default:
        return undefined;
    }
  }

  #has(kind: Told, id: string): boolean {
    return this.#told.has(`${kind} ${id}`);
  }

  #once(kind: Told, id: string): boolean {
    if (this.#has(kind, id)) return false;
    this.#told.add(`${kind} ${id}`);
    return true;
  }
}

const EPOCH = new Date(0).toISOString();
const unknown = ({ type, turnId }: RunEvent): string => `A ${type} is of ${turnId}, which cannot have it here.`;
