/**
 * Approvals given for ever ("always"): a small log of its own for each subject, listed and revocable.
 *
 * 1. A grant is keyed by the prompt that gave it: closing that prompt twice grants once, and never after a revocation.
 * 2. They are read when a run begins; a revocation counts from the next run on.
 */
import { FaultError, type Subject } from '@holdfast/protocol';
import type { Log, StreamName } from '@holdfast/log';

type GrantEntry =
  | { readonly type: 'grant'; readonly tool: string; readonly by: Subject }
  | { readonly type: 'grant-revoke'; readonly tool: string };

export interface Grant {
  readonly tool: string;
  readonly grantedAt: string;
  readonly by: Subject;
}

const grantStream = (owner: Subject): StreamName => `grants/${encodeURIComponent(owner)}`;
const decoder = new TextDecoder();
const encoder = new TextEncoder();

export class Grants {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** @throws FaultError where the store gives no answer: that is not the same as none */
  async list(owner: Subject): Promise<readonly Grant[]> {
    const grants = new Map<string, Grant>();
    for (let after = 0; ;) {
      const page = await this.#log.read(grantStream(owner), { after });
      if (page.kind === 'unavailable') throw new FaultError(page.fault);
      if (page.kind !== 'page' || page.records.length === 0) return [...grants.values()];
      for (const record of page.records) {
        const entry = JSON.parse(decoder.decode(record.bytes)) as GrantEntry;
        if (entry.type === 'grant')
          grants.set(entry.tool, { tool: entry.tool, grantedAt: new Date(record.at).toISOString(), by: entry.by });
        else grants.delete(entry.tool);
      }
      after += page.records.length;
    }
  }

  /** @throws FaultError where the store gives no answer; then the same grant may be added again */
  async add(owner: Subject, tool: string, by: Subject, promptId: string): Promise<void> {
    await this.#append(owner, { type: 'grant', tool, by }, promptId);
  }

  async revoke(owner: Subject, tool: string): Promise<boolean> {
    const granted = (await this.list(owner)).some((grant) => grant.tool === tool);
    return granted && (await this.#append(owner, { type: 'grant-revoke', tool }));
  }

  async #append(owner: Subject, entry: GrantEntry, key?: string): Promise<boolean> {
    const stream = grantStream(owner);
    const created = await this.#log.create(stream, { contentType: 'application/json' });
    if (created.kind === 'unavailable') throw new FaultError(created.fault);
    const records = [encoder.encode(JSON.stringify(entry))];
    const verdict = await this.#log.append(
      stream,
      key === undefined ? { records } : { records, key: { id: key, hash: key } },
    );
    if (verdict.kind === 'unavailable') throw new FaultError(verdict.fault);
    return verdict.kind === 'appended' || verdict.kind === 'duplicate';
  }
}
