/**
 * A gateway as a process of its own, for tests that kill it: configured by the environment alone.
 * It says `ready URL` on one line when it is.
 */
import { loadConfig, startGateway } from '@holdfast/gateway';

// Whoever started it holds its standard input: when they are gone, however that came, so is it.
process.stdin.on('end', () => process.exit()).resume();

const loaded = loadConfig({ ...process.env, HOLDFAST_CONFIG: '' }, process.cwd());
if (loaded.kind === 'wrong') throw new Error(loaded.problems.join('\n'));
const gateway = await startGateway(loaded.config);
console.log(`ready ${gateway.url}`);
