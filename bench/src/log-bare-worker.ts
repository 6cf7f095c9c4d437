/** The floor of `log.ts`: the same rows, and nothing that makes a log of them. */
import Database from 'better-sqlite3';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';

const { file, streams } = workerData as { readonly file: string; readonly streams: number };
interface Batch {
  readonly calls: readonly {
    readonly id: number;
    readonly lane: number;
    readonly key: string;
    readonly sizes: readonly number[];
  }[];
  readonly bytes: Uint8Array;
}

const db = new Database(file);
for (const pragma of ['journal_mode = WAL', 'synchronous = FULL', 'cache_size = -65536', 'wal_autocheckpoint = 10000'])
  db.pragma(pragma);
db.exec(`CREATE TABLE streams (id INTEGER PRIMARY KEY, head INTEGER NOT NULL, epoch INTEGER NOT NULL) STRICT;
         CREATE TABLE records (stream_id INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (stream_id, seq)) STRICT, WITHOUT ROWID;
         CREATE TABLE keys (stream_id INTEGER NOT NULL, id TEXT NOT NULL, hash TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (stream_id, id)) STRICT, WITHOUT ROWID`);
const setHead = db.prepare('INSERT OR REPLACE INTO streams (id, head, epoch) VALUES (?, ?, 1)');
const putRecord = db.prepare('INSERT INTO records (stream_id, seq, at, body) VALUES (?, ?, ?, ?)');
const putKey = db.prepare('INSERT INTO keys (stream_id, id, hash, first, last) VALUES (?, ?, ?, ?, ?)');
const heads = Array.from({ length: streams }, () => 0);
const hash = 'h'.repeat(43);

const port = parentPort;
port?.on('message', (first: Batch) => {
  const batches = [first];
  for (let more = receiveMessageOnPort(port); more !== undefined; more = receiveMessageOnPort(port))
    batches.push(more.message as Batch);
  const now = Date.now();
  const touched = new Set<number>();
  const answered: number[] = [];
  db.exec('BEGIN IMMEDIATE');
  for (const { calls, bytes } of batches) {
    let offset = 0;
    for (const { id, lane, key, sizes } of calls) {
      const before = heads[lane] ?? 0;
      for (const [index, size] of sizes.entries())
        putRecord.run(lane, before + index + 1, now, bytes.subarray(offset, (offset += size)));
      putKey.run(lane, key, hash, before + 1, before + sizes.length);
      heads[lane] = before + sizes.length;
      touched.add(lane);
      answered.push(id);
    }
  }
  for (const lane of touched) setHead.run(lane, heads[lane]);
  db.exec('COMMIT');
  port.postMessage(answered);
});
