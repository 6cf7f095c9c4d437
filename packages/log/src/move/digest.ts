/**
 * What a stream is, as digests: the same in every store that holds the same.
 *
 * 1. Records are taken one by one: how a store packs them makes no difference.
 */
import { createHash, type Hash } from 'node:crypto';
import type { Content, MovedRecord, Part, Tables } from './port.ts';
import { recordsOfPage } from './unpacked.ts';
import { walk } from './walk.ts';

export const SECTIONS = ['state', 'records', 'keys', 'producers', 'consumers', 'rows'] as const;
type Section = (typeof SECTIONS)[number];

export interface StreamDigest {
  readonly name: string;
  readonly sections: Readonly<Record<Section, string>>;
  readonly records: number;
  readonly bytes: number;
  /** Of this stream and all before it. */
  readonly chain: string;
}

export async function* digestStreams(tables: Tables): AsyncGenerator<StreamDigest, undefined> {
  let chain = '';
  let open: Open | undefined;
  for await (const part of walk(tables)) {
    if (part.kind === 'stream') {
      if (open !== undefined) yield open.end((chain = open.chainAfter(chain)));
      open = new Open(part.name);
    }
    open?.add(part);
  }
  if (open !== undefined) yield open.end((chain = open.chainAfter(chain)));
  return undefined;
}

class Open {
  readonly #name: string;
  readonly #hashes: Readonly<Record<Section, Hash>>;
  #digests: Record<Section, string> | undefined;
  #records = 0;
  #bytes = 0;

  constructor(name: string) {
    this.#name = name;
    const hash = (): Hash => createHash('sha256');
    this.#hashes = {
      state: hash(),
      records: hash(),
      keys: hash(),
      producers: hash(),
      consumers: hash(),
      rows: hash(),
    };
  }

  add(part: Part): void {
    const hash = this.#hashes[sectionOf(part)];
    switch (part.kind) {
      case 'records':
        return this.#addRecords(part.records);
      case 'page':
        return this.#addRecords(recordsOfPage(part));
      case 'rows':
        for (const { value, ...row } of part.rows) {
          hash.update(`${JSON.stringify([row.table, row.key, row.order, row.group, row.rev, row.words])}\n`);
          hash.update(value === null ? 'gone\n' : `${value.byteLength}\n`);
          if (value !== null) hash.update(value);
        }
        return undefined;
      case 'stream':
        return line(hash, Object.values(inOrder(part.stream)));
      case 'keys':
        for (const { id, hash: content, first, last } of part.keys) line(hash, [id, content, first, last]);
        return undefined;
      case 'producers':
        for (const { id, epoch, seq, first, last } of part.producers) line(hash, [id, epoch, seq, first, last]);
        return undefined;
      case 'consumers':
        for (const { name, epoch, acked, wakeAt, behind } of part.consumers)
          line(hash, [name, epoch, acked, wakeAt, behind]);
        return undefined;
    }
  }

  chainAfter(chain: string): string {
    const all = SECTIONS.map((section) => this.#closed()[section]).join('');
    return createHash('sha256').update(chain).update(this.#name).update(all).digest('hex');
  }

  end(chain: string): StreamDigest {
    return { name: this.#name, sections: this.#closed(), records: this.#records, bytes: this.#bytes, chain };
  }

  #addRecords(records: readonly MovedRecord[]): void {
    for (const { seq, at, bytes } of records) {
      this.#hashes.records.update(`${seq} ${at} ${bytes.byteLength}\n`).update(bytes);
      this.#bytes += bytes.byteLength;
    }
    this.#records += records.length;
  }

  #closed(): Readonly<Record<Section, string>> {
    if (this.#digests !== undefined) return this.#digests;
    const { state, records, keys, producers, consumers, rows } = this.#hashes;
    this.#digests = {
      state: state.digest('hex'),
      records: records.digest('hex'),
      keys: keys.digest('hex'),
      producers: producers.digest('hex'),
      consumers: consumers.digest('hex'),
      rows: rows.digest('hex'),
    };
    return this.#digests;
  }
}

function sectionOf({ kind }: Content): Section {
  return kind === 'stream' ? 'state' : kind === 'page' ? 'records' : kind;
}

function line(hash: Hash, values: readonly unknown[]): void {
  hash.update(`${JSON.stringify(values)}\n`);
}

const inOrder = (fields: object): object =>
  Object.fromEntries(Object.entries(fields).toSorted(([left], [right]) => (left < right ? -1 : 1)));
