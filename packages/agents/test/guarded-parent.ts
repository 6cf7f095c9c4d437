/**
 * A gateway in small, to be killed: runs one command by the shell tool and copies its output to its own.
 * Usage: node guarded-parent.ts DIRECTORY COMMAND
 */
import { systemClock } from '@holdfast/session';
import { shellTool } from '../src/tools/shell.ts';

const [, , root = '.', command = 'true'] = process.argv;
const opened = shellTool({ root, env: process.env }).open({ command });
if (opened.kind === 'invalid') throw new Error(opened.reason);
const { signal } = new AbortController();
for await (const text of opened.call.run({ signal, clock: systemClock })) process.stdout.write(text);
process.stdout.write('parent: done\n');
