/**
 * The people of a crash run: one sender and one reader for each session, who go on through every restart and remember what they
 * were told.
 *
 * 1. A sender sends one message at a time and repeats it, under the same client id, until it is acknowledged.
 * 2. A reader resumes from the last cursor it has, and keeps every entry that it was shown.
 * 3. Who hears nothing for `SILENCE_MS` tries again on another connection: a process may be stopped, and a wire half open.
 * 4. What a person was told counts from the moment they were told; what was under way when the power went, was not told.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createParser } from 'eventsource-parser';
import { TOKEN } from './gateway.ts';

export interface Sent {
  readonly clientId: string;
  readonly text: string;
  readonly messageId: string;
  readonly seq: number;
}

export interface SeenEntry {
  readonly seq: number;
  readonly type: string;
  readonly json: string;
}

/** Where the gateway is now, and whether what it says still counts. */
export interface Service {
  url: string | undefined;
  /** Grows with each restart. */
  epoch: number;
}

const RETRY_MS = 20;
const SILENCE_MS = 5_000;
const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };

export class Person {
  readonly sessionId: string;
  readonly acknowledged: Sent[] = [];
  readonly seen: Map<number, SeenEntry> = new Map();
  /** Entries that were shown with another content than before. */
  readonly contradictions: string[] = [];
  /** Called with the type of each entry that is shown, and with `commit` as a message is sent. */
  onMoment: (moment: string) => void = () => undefined;
  readonly #service: Service;
  readonly #scene: (n: number) => string;
  readonly #end = new AbortController();
  #cursor = '0';

  constructor(sessionId: string, service: Service, scene: (n: number) => string) {
    this.sessionId = sessionId;
    this.#service = service;
    this.#scene = scene;
  }

  stop(): void {
    this.#end.abort();
  }

  /** Sends until told to stop, at most `ahead` messages before their answers. */
  async send(ahead: number): Promise<void> {
    await this.#until('/v1/sessions', { sessionId: this.sessionId, clientId: `open-${this.sessionId}` });
    for (let n = 0; !this.#end.signal.aborted; n += 1) {
      while (this.#unanswered() >= ahead && !this.#end.signal.aborted) await sleep(RETRY_MS);
      const clientId = `${this.sessionId}-${n}`;
      const text = this.#scene(n);
      const receipt = await this.#until(`/v1/sessions/${this.sessionId}/messages`, { clientId, text });
      if (receipt === undefined) return;
      const { messageId, seq } = receipt as { readonly messageId: string; readonly seq: number };
      this.acknowledged.push({ clientId, text, messageId, seq });
    }
  }

  async read(): Promise<void> {
    while (!this.#end.signal.aborted) {
      await this.#readOnce().catch(() => undefined);
      await sleep(RETRY_MS);
    }
  }

  /** Answers every open prompt, as anybody may. */
  async answer(promptId: string, answer: string): Promise<void> {
    await this.#until(`/v1/sessions/${this.sessionId}/prompts/${promptId}`, { answer, clientId: `answer-${promptId}` });
  }

  #unanswered(): number {
    let ended = 0;
    for (const entry of this.seen.values()) if (entry.type === 'turn-end') ended += 1;
    return this.acknowledged.length - ended;
  }

  /** Rule 1. @returns undefined once it is told to stop, without an answer */
  async #until(path: string, body: object): Promise<unknown> {
    while (!this.#end.signal.aborted) {
      const { url, epoch } = this.#service;
      if (url !== undefined) {
        const answering = post(`${url}${path}`, body).catch(() => undefined);
        this.onMoment('commit');
        const answer = await answering;
        // Rule 4.
        if (answer !== undefined && epoch === this.#service.epoch && (answer.status < 300 || answer.status === 409))
          return answer.body;
      }
      await sleep(RETRY_MS);
    }
    return undefined;
  }

  async #readOnce(): Promise<void> {
    const { url, epoch } = this.#service;
    if (url === undefined) return;
    const silent = new AbortController();
    const watchdog = setTimeout(() => silent.abort(), SILENCE_MS);
    try {
      const response = await fetch(`${url}/v1/sessions/${this.sessionId}/events?after=${this.#cursor}`, {
        headers,
        signal: AbortSignal.any([this.#end.signal, silent.signal]),
      });
      if (!response.ok || response.body === null) return;
      const parser = createParser({ onEvent: ({ id, event, data }) => this.#take(epoch, id, event, data) });
      const decoder = new TextDecoder();
      for await (const chunk of response.body) {
        watchdog.refresh();
        parser.feed(decoder.decode(chunk, { stream: true }));
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  #take(epoch: number, id: string | undefined, event: string | undefined, data: string): void {
    if (epoch !== this.#service.epoch) return;
    if (event === 'resync')
      this.contradictions.push(
        `${this.sessionId}: the cursor ${this.#cursor} was answered with a resync: ${data.slice(0, 200)}`,
      );
    if (id === undefined || id === '') return;
    const seq = Number(id.split('.')[0]);
    const known = this.seen.get(seq);
    if (known !== undefined && known.json !== data)
      this.contradictions.push(`${this.sessionId} ${seq}: was ${known.json}, is ${data}`);
    this.seen.set(seq, { seq, type: event ?? '', json: data });
    this.#cursor = id;
    this.onMoment(event ?? '');
    if (event === 'prompt-open') {
      const { promptId, kind } = JSON.parse(data) as { readonly promptId: string; readonly kind: string };
      void this.answer(promptId, kind === 'approval' ? 'once' : 'blue');
    }
  }
}

async function post(url: string, body: object): Promise<{ readonly status: number; readonly body: unknown }> {
  const signal = AbortSignal.timeout(SILENCE_MS);
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), signal });
  return { status: response.status, body: await response.json() };
}
