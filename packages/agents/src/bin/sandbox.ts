/** `npm run sandbox`: tries to leave the sandbox of this machine. One line of JSON last; the exit code is 0 if nothing was reached. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { findSandbox } from '../tools/sandbox.ts';
import { proveSandbox } from '../tools/sandbox-proof.ts';

const sandbox = findSandbox(process.env['PATH']);
if (sandbox.kind === 'none')
  console.error(`${sandbox.why} Commands run unconfined here; on Debian: apt-get install bubblewrap.`);
const dir = await mkdtemp(path.join(os.tmpdir(), 'holdfast-sandbox-'));
try {
  const proof = await proveSandbox(sandbox, dir);
  for (const what of proof.reached) console.error(`reached: ${what}`);
  console.log(JSON.stringify({ sandbox: sandbox.kind, ...proof }));
  process.exitCode = sandbox.kind === 'bubblewrap' && proof.reached.length === 0 ? 0 : 1;
} finally {
  await rm(dir, { recursive: true, force: true });
}
