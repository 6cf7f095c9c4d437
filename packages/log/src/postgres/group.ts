/**
 * Natural group commit for steps that are no appends: what is asked for while one transaction runs goes into the next one together.
 *
 * 1. A group that fails for a reason other than the connection is done step by step, so that only the culprit fails.
 */
import type { Connection } from './connection.ts';
import { isConnectionError } from './refusal.ts';

const GROUP_MAX = 1_000;

interface Step<Request, Verdict> {
  readonly request: Request;
  readonly resolve: (verdict: Verdict) => void;
  readonly reject: (error: unknown) => void;
}

export class Group<Request, Verdict> {
  readonly #connection: Connection;
  readonly #perform: (connection: Connection, requests: readonly Request[]) => Promise<readonly Verdict[]>;
  readonly #waiting: Step<Request, Verdict>[] = [];
  #running = false;

  /** @param perform a verdict for each request, in order */
  constructor(
    connection: Connection,
    perform: (connection: Connection, requests: readonly Request[]) => Promise<readonly Verdict[]>,
  ) {
    this.#connection = connection;
    this.#perform = perform;
  }

  add(request: Request): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    // What the same tick asks for belongs to the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#commit(this.#waiting.splice(0, GROUP_MAX));
    this.#running = false;
  }

  async #commit(steps: readonly Step<Request, Verdict>[]): Promise<void> {
    const requests = steps.map((step) => step.request);
    try {
      const verdicts = await this.#perform(this.#connection, requests);
      for (const [index, step] of steps.entries()) step.resolve(verdicts[index] as Verdict);
    } catch (error) {
      if (steps.length > 1 && !isConnectionError(error)) for (const step of steps) await this.#commit([step]);
      else for (const step of steps) step.reject(error);
    }
  }
}
