/**
 * The command: reads the arguments, runs, and says in one line what went wrong where something did.
 */
import { CommanderError } from 'commander';
import { EXIT, explain } from './failure.ts';
import { createProgram } from './program.ts';

// `holdfast tail … | head`: whoever reads has seen enough. A command that has something to end first listens for it.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE' && process.stdout.emit('unread')) return;
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
  process.stderr.write(`holdfast: ${explain(error).text}\n`);
  process.exit(EXIT.failed);
});

try {
  await createProgram().parseAsync();
} catch (error) {
  // Commander has said itself what is wrong.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.badInput;
  else {
    const { text, exitCode } = explain(error);
    process.stderr.write(`holdfast: ${text}\n`);
    process.exitCode = exitCode;
  }
}
