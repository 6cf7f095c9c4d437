/**
 * What the routes work with: the ports and the parts of one running gateway.
 */
import type { Clock, SessionService } from '@holdfast/session';
import type { DoorOptions } from './auth/door.ts';
import type { TokenStore } from './auth/token-store.ts';
import type { Config } from './config-table.ts';
import type { Metrics } from './metrics.ts';
import type { EntryEncoder } from './stream/encode.ts';
import type { Readers } from './stream/readers.ts';
import type { Feed } from './stream/feed.ts';
import type { Logger } from './logger.ts';
import type { Terminals } from './terminal/terminals.ts';

export interface Context {
  readonly build: string;
  readonly config: Config;
  readonly clock: Clock;
  readonly service: SessionService;
  readonly tokens: TokenStore;
  readonly readers: Readers;
  readonly terminals: Terminals;
  readonly encoder: EntryEncoder;
  readonly feed: Feed;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** The agent of sessions that name none. */
  readonly defaultAgent: string;
  /** Admin secrets that no grant stands behind: the configured token, and this process's own. */
  readonly adminSecrets: readonly string[];
  /** Known once the server listens. */
  readonly door: () => DoorOptions;
  /** Where the page is, as its users see it; without a slash at its end. */
  readonly pageUrl: () => string;
  readonly readiness: () => Promise<{ readonly ready: boolean; readonly why: string }>;
}
