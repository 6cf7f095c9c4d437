/** A gateway as a process of its own, as the command line runs it. */
import { closeOnSignals, loadConfig, startGateway } from '../src/index.ts';

const loaded = loadConfig(process.env, process.cwd());
if (loaded.kind === 'wrong') throw new Error(loaded.problems.join('\n'));
const gateway = await startGateway(loaded.config);
console.log(`holdfast ready ${gateway.url}`);
await closeOnSignals(gateway);
console.log('closed');
