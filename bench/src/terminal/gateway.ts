/** A gateway with terminals as a process of its own: tells its port, ends with its parent. */
import { configOf, startGateway } from '@holdfast/gateway';

const terminals = { ...configOf({}).terminals, on: 'on' } as const;
const gateway = await startGateway(
  configOf({ port: 0, store: { kind: 'memory' }, log: 'silent', token: 'hf_bench', drainMs: 0, terminals }),
);
process.send?.({ port: gateway.port });
process.on('disconnect', () => process.exit(0));
