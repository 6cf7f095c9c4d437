/** A store's tables as one line of parts, from the first or from behind any of them. */
import { createHash } from 'node:crypto';
import type { Content, Part, Place, Survey, Tables } from './port.ts';

type Step = (
  tables: Tables,
  id: number,
  after: Place['after'],
) => Promise<{ readonly content: Content; readonly after: Place['after'] } | undefined>;

/** In the order in which a stream's parts come. Each goes on after the last place of its own, or from the beginning. */
const STEPS: readonly Step[] = [
  async (tables, id, [after = 0]) => {
    const content = await tables.records(id, Number(after));
    if (content === undefined) return undefined;
    return { content, after: [content.kind === 'page' ? content.last : (content.records.at(-1)?.seq ?? 0)] };
  },
  async (tables, id, [after = '']) => {
    const keys = await tables.keys(id, String(after));
    const last = keys.at(-1);
    return last === undefined ? undefined : { content: { kind: 'keys', keys }, after: [last.id] };
  },
  async (tables, id, [after = '']) => {
    const producers = await tables.producers(id, String(after));
    const last = producers.at(-1);
    return last === undefined ? undefined : { content: { kind: 'producers', producers }, after: [last.id] };
  },
  async (tables, id, [after = '']) => {
    const consumers = await tables.consumers(id, String(after));
    const last = consumers.at(-1);
    return last === undefined ? undefined : { content: { kind: 'consumers', consumers }, after: [last.name] };
  },
  async (tables, id, [table = '', key = '']) => {
    const rows = await tables.rows(id, String(table), String(key));
    const last = rows.at(-1);
    return last === undefined ? undefined : { content: { kind: 'rows', rows }, after: [last.table, last.key] };
  },
];

export async function* walk(tables: Tables, behind?: Place): AsyncGenerator<Part> {
  for (let from = behind?.id ?? 0; ;) {
    const chunk = await tables.streams(from);
    for (const { id, stream } of chunk) {
      const { name } = stream;
      const isBegun = behind?.id === id;
      if (!isBegun) yield { kind: 'stream', stream, name, place: { id, step: 0, after: [] } };
      yield* walkStream(tables, id, name, isBegun ? behind : { id, step: 0, after: [] });
    }
    const last = chunk.at(-1);
    if (last === undefined) return;
    from = last.id + 1;
  }
}

async function* walkStream(tables: Tables, id: number, name: string, behind: Place): AsyncGenerator<Part> {
  for (let step = behind.step; step < STEPS.length; step += 1) {
    let after = step === behind.step ? behind.after : [];
    for (;;) {
      const found = await STEPS[step]?.(tables, id, after);
      if (found === undefined) break;
      after = found.after;
      yield { ...found.content, name, place: { id, step, after } };
    }
  }
}

export async function survey(tables: Tables): Promise<Survey> {
  const hash = createHash('sha256');
  const streamsByKind: Record<string, number> = {};
  let [streams, tombstones, records] = [0, 0, 0];
  for (let from = 0; ;) {
    const chunk = await tables.streams(from);
    for (const { id, stream } of chunk) {
      hash.update(`${JSON.stringify([id, stream])}\n`);
      const kind = stream.name.split('/', 1)[0] ?? '';
      streamsByKind[kind] = (streamsByKind[kind] ?? 0) + 1;
      streams += 1;
      if (stream.deleted) tombstones += 1;
      else records += stream.head - stream.floor;
    }
    const last = chunk.at(-1);
    if (last === undefined) break;
    from = last.id + 1;
  }
  return { streams, tombstones, records, streamsByKind, fingerprint: hash.digest('hex') };
}

/** About what a part takes: for progress, and for the size of a transaction. */
export function partBytes(part: Part): number {
  switch (part.kind) {
    case 'records':
      return part.records.reduce((sum, record) => sum + record.bytes.byteLength + 16, 0);
    case 'page':
      return part.body.byteLength;
    case 'rows':
      return part.rows.reduce((sum, row) => sum + (row.value?.byteLength ?? 0) + row.words.length * 8 + 64, 0);
    case 'keys':
      return part.keys.length * 100;
    case 'producers':
      return part.producers.length * 100;
    case 'consumers':
    case 'stream':
      return 100;
  }
}
