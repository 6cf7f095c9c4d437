/**
 * Side questions in a conversation: `/btw QUESTION` asks beside it, `/keep` puts the last one into the transcript.
 *
 * 1. What is not kept leaves nothing; another question, Ctrl-C and leaving cancel the one that is being answered.
 */
import { BtwClient, type Btw } from '@holdfast/client';
import type { GatewayAddress } from '../connect.ts';
import { oneLine } from '../text.ts';
import type { Stage } from './conversation.ts';

export class Asides {
  readonly #stage: Stage;
  readonly #client: BtwClient;
  #last: Btw | undefined;

  constructor(stage: Stage, { url, credentials, transport }: GatewayAddress) {
    this.#stage = stage;
    this.#client = new BtwClient({ baseUrl: url, credentials, transport: transport() });
  }

  /** @returns whether the line was meant for here. */
  async take(line: string): Promise<boolean> {
    const [, command, question = ''] = /^\s*\/(btw|keep)(?:\s+([^]*))?$/.exec(line) ?? [];
    if (command === undefined) return false;
    if (command === 'keep') await this.#keep();
    else if (question.trim() === '') this.#stage.printer.note('ask something: /btw QUESTION');
    else await this.#ask(question.trim());
    return true;
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #ask(question: string): Promise<void> {
    const { session, printer, interrupts } = this.#stage;
    const btw = this.#client.ask(session.id, question);
    this.#last = btw;
    const release = interrupts.guard(() => btw.cancel());
    try {
      for await (const text of btw) printer.part({ type: 'text', text });
    } finally {
      printer.endText();
      release();
    }
    const { status, fault } = btw.store.getSnapshot();
    if (status === 'completed') printer.note('/keep puts it into the conversation');
    else printer.note(fault === undefined ? status : `${status}: ${oneLine(fault.detail, 400)}`);
  }

  async #keep(): Promise<void> {
    const { printer } = this.#stage;
    const kept = await this.#last?.keep();
    if (kept === undefined) printer.note('there is nothing to keep: /btw QUESTION asks');
    else printer.note(kept.kind === 'ok' ? 'kept' : oneLine(kept.fault.detail, 400));
  }
}
