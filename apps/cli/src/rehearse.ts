/** `holdfast rehearse`: the rehearsal agent's answer, known beforehand. */
import { rehearse } from '@holdfast/agents/rehearse';

export interface RehearseOptions {
  readonly answer?: string;
  /** Nobody answers: the prompt expires. */
  readonly unanswered: boolean;
}

export function printRehearsal(words: readonly string[], { answer, unanswered }: RehearseOptions): void {
  const given = unanswered ? { answer: null } : answer === undefined ? {} : { answer };
  process.stdout.write(`${rehearse(words.join(' '), given)}\n`);
}
