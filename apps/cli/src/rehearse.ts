/** `holdfast rehearse`: the rehearsal agent's answer, known beforehand. */
import { rehearse } from '@holdfast/agents/rehearse';

export function printRehearsal(message: string, { answer }: { readonly answer?: string }): void {
  process.stdout.write(`${rehearse(message, answer === undefined ? {} : { answer })}\n`);
}
