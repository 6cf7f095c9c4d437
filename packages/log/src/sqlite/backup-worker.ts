/**
 * A backup: the database as of one moment, into one file, while the gateway goes on. It has a connection of its own and one
 * read transaction; writers do not wait for it. It is reported when it was read to its end as a restore reads it (R91).
 */
import path from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { DATABASE_FILE } from './files.ts';
import { checkFile } from './offline.ts';
import { makePrivate } from './private.ts';
import { openReaderDatabase } from './schema.ts';

const { dir, target } = workerData as { readonly dir: string; readonly target: string };
const db = openReaderDatabase(path.join(dir, DATABASE_FILE));
db.pragma('query_only = OFF');
makePrivate(target);
db.prepare('VACUUM INTO ?').run(target);
db.close();
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port has no origin
parentPort?.postMessage(checkFile(target));
