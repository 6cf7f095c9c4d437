/** The stream server in a process of its own, so that a test's memory is the client's alone. Ends with its parent. */
import { startStreamServer } from './stream-server.ts';

const server = await startStreamServer();
process.send?.(server.origin);
process.on('disconnect', () => process.exit(0));
