/**
 * Whether the database behind the address is still the one that it was. After a failover without a synchronous standby, or a
 * restore, it may be without entries that were read here, and go on from before them: other records under the same seqs.
 *
 * 1. Every connection asks before its first use, so nothing of another history is read or written next to what is known of this one.
 * 2. The question is the server's timeline: each promotion and each restore begins a new one. Only then are the records looked at:
 *    a failover that lost nothing disturbs nobody.
 * 3. Revs have no records to look at. Each timeline is a history of its own for them (`rev.ts`).
 */
import type { ClientBase } from 'pg';
import type { Hub, Tip } from '../subscription.ts';
import type { Query } from './rows.ts';
import { read } from './streams.ts';

/** Where the server does not say, none. */
const TIMELINE = 'SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline';

const UNCONFIRMED = 'unconfirmed';

export class History {
  readonly #hub: Pick<Hub, 'tips' | 'rewound'>;
  readonly #onNew: () => void;
  #timeline: string | undefined;
  #check: Promise<void> = Promise.resolve();

  /** @param onNew another history has begun */
  constructor(hub: Pick<Hub, 'tips' | 'rewound'>, onNew: () => void) {
    this.#hub = hub;
    this.#onNew = onNew;
  }

  /** Rule 3. The server counts its timelines from 1. */
  get number(): number {
    return Math.max(0, Number.parseInt(this.#timeline ?? '', 16) - 1 || 0);
  }

  /** @throws where the connection fails meanwhile: the next one asks again */
  readonly confirm = async (client: ClientBase): Promise<void> => {
    const timeline = await timelineOf(client);
    const before = this.#timeline;
    if (timeline !== before) {
      this.#timeline = timeline;
      if (before !== undefined) this.#check = this.#look(client);
    }
    await this.#check.catch((error: unknown) => {
      this.#timeline = UNCONFIRMED;
      throw error;
    });
  };

  async #look(client: ClientBase): Promise<void> {
    const query: Query = async <T extends object>(text: string, values: readonly unknown[]) =>
      (await client.query<T>(text, [...values])).rows;
    for (const tip of this.#hub.tips()) if (!(await isThere(query, tip))) this.#hub.rewound(tip.stream);
    this.#onNew();
  }
}

async function timelineOf(client: ClientBase): Promise<string> {
  const { rows } = await client.query<{ timeline: string }>(TIMELINE).catch(() => ({ rows: [] }));
  return rows[0]?.timeline ?? 'none';
}

async function isThere(query: Query, { stream, seq, tag, head }: Tip): Promise<boolean> {
  const page = await read(query, stream, { after: seq - 1, limit: 1 });
  // What was dropped by retention is nobody's next record.
  if (page.kind === 'truncated') return true;
  return page.kind === 'page' && page.head >= head && page.records[0]?.seq === seq && page.records[0].tag === tag;
}
