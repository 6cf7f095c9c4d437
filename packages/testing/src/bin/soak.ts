/**
 * `npm run soak -- --seconds N [--sessions N] [--seed S]`: a real gateway under load for a while; its memory, and at the end the logs
 * against what people were told and what was to be said. One line of JSON last; the exit code is 0 where nothing was lost, doubled,
 * reordered, stuck or wrong.
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startGateway } from '../crash/gateway.ts';
import { judgeRun } from '../crash/judge.ts';
import { Person, type Service } from '../crash/load.ts';
import { restingLogs, sceneOf } from '../crash/rest.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    sessions: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
});
const [seconds, sessions, seed] = [values.seconds, values.sessions, values.seed].map(Number) as [
  number,
  number,
  number,
];
if (values.help || !(seconds > 0) || !(sessions > 0) || !Number.isInteger(seed)) {
  console.error('npm run soak -- --seconds N [--sessions N] [--seed S]');
  process.exit(values.help ? 0 : 2);
}

const dir = await mkdtemp(path.join(os.tmpdir(), 'holdfast-soak-'));
const workspace = path.join(dir, 'workspace');
await mkdir(workspace);
try {
  const gateway = await startGateway({
    HOLDFAST_DATA: path.join(dir, 'data'),
    HOLDFAST_WORKSPACE: workspace,
    HOLDFAST_MODEL_TOOLS: 'shell',
    HOLDFAST_UNSANDBOXED_TOOLS: '1',
  });
  const service: Service = { url: gateway.url, epoch: 0 };
  const people = Array.from({ length: sessions }, (_, n) => new Person(`s_${seed}_${n}`, service, sceneOf(n)));
  const loads = people.flatMap((person) => [person.send(3), person.read()]);
  const rssMiB: number[] = [];
  const until = performance.now() + seconds * 1_000;
  while (performance.now() < until) {
    await sleep(Math.min(2_000, Math.max(1, until - performance.now())));
    rssMiB.push(await residentMiB(gateway.pid));
    process.stderr.write(`\r${Math.round((until - performance.now()) / 1_000)} s left, ${rssMiB.at(-1)} MiB `);
  }
  process.stderr.write('\n');
  const sessionIds = people.map((person) => person.sessionId);
  for (const person of people) person.stop();
  await Promise.all(loads);
  const logs = await restingLogs(gateway.url, sessionIds);
  const lines = (await readFile(path.join(workspace, 'lines.txt'), 'utf8').catch(() => '')).split('\n');
  const { lost, doubled, reordered, stuck, wrong, ...figures } = judgeRun(
    people,
    logs,
    lines.filter((line) => line !== ''),
  );
  gateway.kill('SIGTERM');
  await gateway.gone;
  const faults = { lost, doubled, reordered, stuck, wrong };
  for (const [what, list] of Object.entries(faults))
    for (const line of list.slice(0, 5)) console.error(`${what}: ${line}`);
  const counts = Object.fromEntries(Object.entries(faults).map(([what, list]) => [what, list.length]));
  console.log(
    JSON.stringify({
      seconds,
      sessions,
      seed,
      rssMiB: { first: rssMiB[0], last: rssMiB.at(-1) },
      ...figures,
      ...counts,
    }),
  );
  process.exitCode = Object.values(counts).some((count) => count > 0) ? 1 : 0;
} finally {
  await rm(dir, { recursive: true, force: true });
}

async function residentMiB(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}
