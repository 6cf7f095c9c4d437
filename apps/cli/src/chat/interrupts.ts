/**
 * What Ctrl-C means: it stops the turn that runs; a second one, or one where nothing runs, leaves. Leaving stops nothing by
 * itself, and a third one does not wait for the door.
 */
import { EXIT } from '../failure.ts';

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'running'; readonly stop: () => void }
  | { readonly kind: 'stopping' }
  | { readonly kind: 'leaving' };

export class Interrupts {
  readonly #left = Promise.withResolvers<void>();
  #state: State = { kind: 'idle' };

  constructor() {
    process.on('SIGINT', this.hear);
  }

  /** Resolves when the person wants to leave. */
  get left(): Promise<void> {
    return this.#left.promise;
  }

  get isLeaving(): boolean {
    return this.#state.kind === 'leaving';
  }

  /** From now on the first Ctrl-C is for this turn. @returns the end of that */
  guard(stop: () => void): () => void {
    if (this.#state.kind === 'leaving') return () => {};
    this.#state = { kind: 'running', stop };
    return () => {
      if (this.#state.kind !== 'leaving') this.#state = { kind: 'idle' };
    };
  }

  /** For a Ctrl-C that came as a key, not as a signal: a prompt reads the terminal raw. */
  readonly hear = (): void => {
    switch (this.#state.kind) {
      case 'running': {
        const { stop } = this.#state;
        this.#state = { kind: 'stopping' };
        stop();
        return;
      }
      case 'idle':
      case 'stopping':
        this.#state = { kind: 'leaving' };
        this.#left.resolve();
        return;
      case 'leaving':
        process.exit(EXIT.interrupted);
    }
  };

  end(): void {
    process.off('SIGINT', this.hear);
  }
}
