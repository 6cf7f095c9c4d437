/** The command: reads the arguments, runs, and says in one line what went wrong where something did. */
import { FaultError } from '@holdfast/protocol';
import { CommanderError } from 'commander';
import { createProgram } from './program.ts';

try {
  await createProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else if (error instanceof FaultError) fail(error.fault.detail);
  else throw error;
}

function fail(detail: string): void {
  process.stderr.write(`holdfast: ${detail}\n`);
  process.exitCode = 2;
}
