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
  readonly #currentBySession = new Map<string, Attachment>();
  #attempts = 0;

  attach(sessionId: string, runId: string | null): Attachment {
    const current = this.#currentBySession;
    const token: Attachment = {
      sessionId,
      runId,
      attempt: ++this.#attempts,
      get isCurrent() {
        return current.get(sessionId) === token;
      },
    };
    current.set(sessionId, token);
    return token;
  }

  /** Nobody has the session any more. */
  detach(sessionId: string): void {
    this.#currentBySession.delete(sessionId);
  }
}
