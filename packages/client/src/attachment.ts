/**
 * Who may write to a view: a token for each (session, run, attempt), of which one a session is current (E6).
 *
 * 1. Attaching takes the session from whoever had it; a token never becomes current again.
 * 2. Whatever comes back late (a timer, a response, the end of an old stream) asks its token first and does nothing where it
 *    is not current. There is no flag to reset, so none can be left set.
 */

export interface Attachment {
  readonly sessionId: string;
  /** The run that it shows; null where none runs. */
  readonly runId: string | null;
  /** Counts the attachments of a session. */
  readonly attempt: number;
  readonly isCurrent: boolean;
}

export class Attachments {
  readonly #currentBySession = new Map<string, Token>();
  #attempts = 0;

  attach(sessionId: string, runId: string | null): Attachment {
    const token = new Token(this.#currentBySession, sessionId, runId, ++this.#attempts);
    this.#currentBySession.set(sessionId, token);
    return token;
  }

  /** Nobody has the session any more. */
  detach(sessionId: string): void {
    this.#currentBySession.delete(sessionId);
  }
}

class Token implements Attachment {
  readonly sessionId: string;
  readonly runId: string | null;
  readonly attempt: number;
  readonly #currentBySession: ReadonlyMap<string, Attachment>;

  constructor(current: ReadonlyMap<string, Attachment>, sessionId: string, runId: string | null, attempt: number) {
    this.#currentBySession = current;
    this.sessionId = sessionId;
    this.runId = runId;
    this.attempt = attempt;
  }

  get isCurrent(): boolean {
    return this.#currentBySession.get(this.sessionId) === this;
  }
}
