/**
 * Notices silence. It counts only while it is armed: the time in which nobody reads is not the server's.
 *
 * 1. `onSilent` runs at most once, and never after `stop`.
 * 2. It ends with the signal: a reader that was abandoned in mid-answer stops nothing itself.
 * 3. A clock that goes back restarts the span; one that leaps (the machine slept) ends it, since the connection is dead then.
 */
import type { RunContext } from '@holdfast/session';

export class Watch {
  readonly #clock: RunContext['clock'];
  readonly #signal: AbortSignal;
  readonly #onSilent: () => void;
  readonly #ended = new AbortController();
  #nap = new AbortController();
  #idleMs: number;
  #armedAtMs: number | null = null;
  isSilent = false;

  constructor({ clock, signal }: Pick<RunContext, 'clock' | 'signal'>, idleMs: number, onSilent: () => void) {
    this.#clock = clock;
    this.#signal = signal;
    this.#idleMs = idleMs;
    this.#onSilent = onSilent;
    signal.addEventListener('abort', this.#stop, { once: true });
    if (signal.aborted) this.#stop();
    void this.#run();
  }

  arm(): void {
    this.#armedAtMs = this.#clock.now();
  }

  disarm(): void {
    this.#armedAtMs = null;
  }

  retime(idleMs: number): void {
    if (idleMs === this.#idleMs) return;
    this.#idleMs = idleMs;
    this.#nap.abort();
  }

  stop(): void {
    this.#stop();
  }

  readonly #stop = (): void => {
    this.#signal.removeEventListener('abort', this.#stop);
    this.#ended.abort();
    this.#nap.abort();
  };

  async #run(): Promise<void> {
    while (!this.#ended.signal.aborted) {
      const leftMs = this.#leftMs();
      if (leftMs <= 0) {
        this.isSilent = true;
        this.#onSilent();
        return;
      }
      this.#nap = new AbortController();
      await this.#clock.sleep(leftMs, this.#nap.signal);
    }
  }

  #leftMs(): number {
    if (this.#armedAtMs === null) return this.#idleMs;
    const now = this.#clock.now();
    if (now < this.#armedAtMs) this.#armedAtMs = now;
    return this.#armedAtMs + this.#idleMs - now;
  }
}
