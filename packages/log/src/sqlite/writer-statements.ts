/** What the writer asks of its database: each statement once, prepared. */
import type { Database, Statement } from 'better-sqlite3';

type Values = (string | number | null | Uint8Array)[];
type Name =
  | 'findStream'
  | 'putStream'
  | 'setLine'
  | 'setFloor'
  | 'putRecord'
  | 'putKey'
  | 'findKey'
  | 'putProducer'
  | 'producersOf'
  | 'consumersOf'
  | 'putConsumer'
  | 'takeConsumer'
  | 'freeConsumer'
  | 'setBehind'
  | 'putHolder'
  | 'findHolder'
  | 'dropRecords'
  | 'dropPages'
  | 'dropRange'
  | 'countRange'
  | 'pageAcross'
  | 'putPage'
  | 'copyRecords'
  | 'copyPages'
  | 'expired';
export type WriterStatements = Readonly<Record<Name, Statement<Values>>>;

export function prepare(db: Database): WriterStatements {
  return {
    findStream: db.prepare('SELECT * FROM streams WHERE name = ?'),
    putStream: db.prepare(
      'INSERT INTO streams (name, content_type, created_at, touched_at, ttl_ms, expires_at, fork_from, fork_up_to) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ),
    setLine: db.prepare('UPDATE streams SET head = ?, closed = ?, touched_at = ? WHERE id = ?'),
    setFloor: db.prepare('UPDATE streams SET floor = max(floor, ?) WHERE id = ?'),
    putRecord: db.prepare('INSERT INTO records (stream_id, seq, at, body) VALUES (?, ?, ?, ?)'),
    putKey: db.prepare('INSERT INTO keys (stream_id, id, hash, first, last) VALUES (?, ?, ?, ?, ?)'),
    findKey: db.prepare('SELECT hash, first, last FROM keys WHERE stream_id = ? AND id = ?'),
    putProducer: db.prepare(
      'INSERT OR REPLACE INTO producers (stream_id, id, epoch, seq, first, last) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    producersOf: db.prepare('SELECT id, epoch, seq, first, last FROM producers WHERE stream_id = ?'),
    consumersOf: db.prepare('SELECT name, epoch, acked, holder, behind FROM consumers WHERE stream_id = ?'),
    putConsumer: db.prepare(
      'INSERT OR IGNORE INTO consumers (stream_id, name, epoch, acked, holder, wake_at, behind) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    takeConsumer: db.prepare(
      'INSERT INTO consumers (stream_id, name, epoch, holder, behind) VALUES (?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET epoch = excluded.epoch, holder = excluded.holder, behind = 1',
    ),
    freeConsumer: db.prepare(
      'UPDATE consumers SET acked = ?, holder = NULL, wake_at = ?, behind = 0 WHERE stream_id = ? AND name = ?',
    ),
    setBehind: db.prepare('UPDATE consumers SET behind = 1 WHERE stream_id = ? AND name = ?'),
    putHolder: db.prepare('INSERT OR REPLACE INTO holders (id, lease_until) VALUES (?, ?)'),
    findHolder: db.prepare('SELECT lease_until FROM holders WHERE id = ?'),
    dropRecords: db.prepare('DELETE FROM records WHERE stream_id = ? AND seq <= ?'),
    dropPages: db.prepare('DELETE FROM pages WHERE stream_id = ? AND last <= ?'),
    countRange: db.prepare('SELECT count(*) AS n FROM records WHERE stream_id = ? AND seq BETWEEN ? AND ?'),
    pageAcross: db.prepare('SELECT first, body FROM pages WHERE stream_id = ? AND first <= ? AND last > ?'),
    dropRange: db.prepare('DELETE FROM records WHERE stream_id = ? AND seq BETWEEN ? AND ?'),
    putPage: db.prepare('INSERT INTO pages (stream_id, first, last, body) VALUES (?, ?, ?, ?)'),
    copyRecords: db.prepare(
      'INSERT INTO records (stream_id, seq, at, body) SELECT ?, seq, at, body FROM records WHERE stream_id = ? AND seq <= ?',
    ),
    copyPages: db.prepare(
      'INSERT INTO pages (stream_id, first, last, body) SELECT ?, first, last, body FROM pages WHERE stream_id = ? AND last <= ?',
    ),
    expired: db.prepare(
      'SELECT name FROM streams WHERE deleted = 0 AND (ttl_ms IS NOT NULL OR expires_at IS NOT NULL) AND (touched_at + ttl_ms <= ? OR expires_at <= ?)',
    ),
  };
}
