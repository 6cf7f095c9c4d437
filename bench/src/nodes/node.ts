/**
 * A gateway on PostgreSQL as a process of its own: `node.ts URL NAME LEASE_MS`. Its agent does what a message says: `speak RATE SECONDS` says the time so
 * often, `wait` ends when it is stopped, anything else ends at once. A title takes it as long as one may take, for which the owner stays.
 */
import { configOf, startGateway } from '@holdfast/gateway';
import { openPostgresLog } from '@holdfast/log/postgres';
import { openSessionService, systemClock, type Agent } from '@holdfast/session';

const [url = '', name = '', leaseMs = ''] = process.argv.slice(2);

const agent: Agent = {
  name: 'clock',
  description: 'Says what time it is',
  resumable: true,
  title: ({ signal }) => systemClock.sleep(10_000, signal).then(() => undefined),
  async *run({ messages }, { signal, clock }) {
    const [verb, rate = '', seconds = ''] = (messages.at(-1)?.text ?? '').split(' ');
    if (verb === 'wait') await clock.sleep(600_000, signal);
    if (verb !== 'speak') return { outcome: 'completed' };
    const gapMs = 1_000 / Number(rate);
    // Sessions do not speak in step.
    await clock.sleep(Math.random() * gapMs, signal);
    const startedMs = performance.now();
    for (let n = 0; n < Number(rate) * Number(seconds) && !signal.aborted; n += 1) {
      await clock.sleep(Math.max(0, startedMs + n * gapMs - performance.now()), signal);
      yield { type: 'text', text: `@${(performance.timeOrigin + performance.now()).toFixed(3)}@ ` };
    }
    return { outcome: 'completed' };
  },
};

let holders = 0;
const log = await openPostgresLog({ url, node: name });
const service = await openSessionService({
  log,
  agents: [agent],
  turnsMax: 10_000,
  leaseMs: Number(leaseMs),
  randomId: () => `${name}-${process.pid}-${(holders += 1)}`,
  onError: (error) => console.error(name, error),
});
const limits = {
  ...configOf({}).limits,
  requestsPerS: 1_000_000,
  requestsBurst: 1_000_000,
  readersMax: 100_000,
  readersPerSubjectMax: 100_000,
};
const config = configOf({ port: 0, store: { kind: 'memory' }, log: 'silent', token: 'hf_bench', drainMs: 0, limits });
const gateway = await startGateway(config, { log, service, agents: [agent] });
process.send?.({ port: gateway.port });
process.on('disconnect', () => process.exit(0));
