/**
 * The database of a run with many nodes: a primary and its synchronous standby behind one address, which dies, comes back, and
 * fails over.
 *
 * 1. The address outlives every server: only what stands behind it changes.
 * 2. A failover promotes what has every confirmed commit. A primary that was killed confirms nothing until its standby has caught
 *    up, and what it says before that is not yet anybody's to fail over from: `restart` waits for it.
 * 3. Every append of a run event is noted with the fence that stood at that moment, by the database itself: an entry with an old
 *    fence is found whoever let it in.
 */
import { startBalancer, type Balancer } from '../balancer.ts';
import { startPostgres, type PostgresServer, type PostgresStandby } from '../postgres.ts';

const DATABASE = 'crash';

const AUDIT = `
  CREATE TABLE fence_audit (n bigserial, stream_id bigint, epoch bigint, first bigint, last bigint, fence bigint);
  CREATE FUNCTION audit_fence() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO fence_audit (stream_id, epoch, first, last, fence)
        SELECT NEW.stream_id, NEW.epoch, NEW.first, NEW.last, c.epoch FROM consumers c
        WHERE c.stream_id = NEW.stream_id AND c.name = 'run';
      RETURN NEW;
    END $$;
  CREATE TRIGGER audit_fence AFTER INSERT OR UPDATE ON producers FOR EACH ROW WHEN (NEW.id = 'run')
    EXECUTE FUNCTION audit_fence();`;

const STALE = `
  SELECT s.name, a.epoch, a.fence, a.first FROM (
    SELECT *, max(epoch) OVER (PARTITION BY stream_id ORDER BY n) AS top FROM fence_audit
  ) a JOIN streams s ON s.id = a.stream_id WHERE a.epoch < a.top OR a.epoch <> a.fence`;

export class Database {
  readonly address: Balancer;
  #primary: PostgresServer;
  #standby: PostgresStandby;

  constructor(address: Balancer, primary: PostgresServer, standby: PostgresStandby) {
    this.address = address;
    this.#primary = primary;
    this.#standby = standby;
  }

  static async start(): Promise<Database> {
    const primary = await startPostgres();
    try {
      await primary.createDatabase(DATABASE);
      const standby = await primary.createStandby({ synchronous: true });
      return new Database(await startBalancer([primary.port]), primary, standby);
    } catch (error) {
      await primary.stop();
      throw error;
    }
  }

  get url(): string {
    return this.urlBy(this.address);
  }

  /** Through another address: a node's own wire to it. */
  urlBy({ port }: { readonly port: number }): string {
    const url = new URL(this.#primary.databaseUrl(DATABASE));
    url.port = String(port);
    return url.href;
  }

  get primary(): PostgresServer {
    return this.#primary;
  }

  /** Rule 3. Once, when the tables are there. */
  async audit(): Promise<void> {
    await this.#primary.query(AUDIT, DATABASE);
  }

  /** Run events that were written under a fence that was no longer, or never, the stream's. */
  async staleEntries(): Promise<readonly string[]> {
    const rows = await this.#primary.query<{ name: string; epoch: string; fence: string; first: string }>(
      STALE,
      DATABASE,
    );
    return rows.map(
      ({ name, epoch, fence, first }) => `${name} ${first}: written under ${epoch}, the fence is ${fence}`,
    );
  }

  /** Killed without a word, and started again on what it left. */
  async killAndRestart(): Promise<void> {
    await this.#primary.crash();
    await this.#primary.restart();
    await this.#primary.standbysCaughtUp();
  }

  /** The primary is killed for good, its standby takes over, and gets a standby of its own. */
  async failOver(): Promise<void> {
    const old = this.#primary;
    await old.crash();
    await this.#standby.promote();
    this.#primary = this.#standby;
    this.address.route([this.#primary.port]);
    await old.stop();
    this.#standby = await this.#primary.createStandby({ synchronous: true });
  }

  async stop(): Promise<void> {
    await this.address.close();
    await this.#standby.stop();
    await this.#primary.stop();
  }
}
