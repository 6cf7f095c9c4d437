/**
 * The parts of a gateway, opened one after the other: log, tokens, agents, sessions, readers.
 *
 * 1. Whatever is opened here is put on the list of what to close, in front of what it stands on; what was given is not.
 */
import type { Log } from '@holdfast/log';
import { openSessionService, systemClock, type Agent, type Clock, type SessionService } from '@holdfast/session';
import { ADMIN_SUBJECT, isValid } from './auth/authenticate.ts';
import type { Principal } from './auth/principal.ts';
import { newId } from './auth/secret.ts';
import { TokenStore } from './auth/token-store.ts';
import type { Config } from './config-table.ts';
import { createLogger, withoutSecrets, type Logger } from './logger.ts';
import { chooseDefault, confinementNote, openAgents, type OpenedAgents } from './open-agents.ts';
import { openLog, type OpenedLog } from './open-log.ts';
import { Terminals } from './terminal/terminals.ts';
import { Readers, type ReadersOptions } from './stream/readers.ts';

export interface GatewayOptions {
  /** Default: what the configuration names. One that is given is not closed here. */
  readonly log?: Log;
  /** Default: one on the log. One that is given is neither drained nor closed here. */
  readonly service?: SessionService;
  /** Default: what the configuration names. */
  readonly agents?: readonly Agent[];
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** The web app's build, where the configuration names none. */
  readonly webDirectory?: string;
  readonly build?: string;
  readonly readers?: Partial<Pick<ReadersOptions, 'heartbeatMs' | 'sweepMs' | 'lingerMs'>>;
}

export type Closer = () => Promise<void> | void;

/** One that fails (a disk that is read-only by now) keeps none of the others open. */
export async function closeAll(closers: readonly Closer[], onError: (error: unknown) => void): Promise<void> {
  for (const close of closers) {
    try {
      await close();
    } catch (error) {
      onError(error);
    }
  }
}

export interface Parts {
  readonly log: Log;
  readonly clock: Clock;
  readonly build: string;
  readonly logger: Logger;
  readonly tokens: TokenStore;
  readonly service: SessionService;
  readonly readers: Readers;
  readonly terminals: Terminals;
  readonly defaultAgent: string;
  readonly onError: (error: unknown) => void;
  readonly announce: (url: string) => Promise<void>;
}

const BUILD = '0.1.0';

export async function openParts(config: Config, options: GatewayOptions, closers: Closer[]): Promise<Parts> {
  const { clock = systemClock, build = BUILD, logger = createLogger(config.log) } = options;
  const onError = (error: unknown): void => logger.error({ error: withoutSecrets(textOf(error)) }, 'error');
  const {
    log,
    announce,
    remarks = [],
  }: OpenedLog = options.log === undefined ? await openLog(config) : { log: options.log };
  if (options.log === undefined) closers.unshift(() => log.close());
  for (const remark of remarks) logger.warn({ remark }, 'data');
  const tokens = await TokenStore.open(log, clock, timesOf(config));
  closers.unshift(() => tokens.close());
  const opened = agentsOf(config, options);
  const service = options.service ?? (await openService(config, log, clock, tokens, opened, onError));
  if (options.service === undefined) closers.unshift(() => service.close());
  const readers = openReaders(config, options, clock, build, tokens);
  closers.unshift(() => readers.close());
  const terminals = openTerminals(config, clock, tokens);
  closers.unshift(() => terminals.close());
  const { defaultAgent, confinement } = opened;
  if (confinement !== undefined) logger.info({ sandbox: confinement.sandbox.kind }, confinementNote(confinement));
  return {
    log,
    clock,
    build,
    logger,
    tokens,
    service,
    readers,
    terminals,
    defaultAgent,
    onError,
    announce: announce ?? (() => Promise.resolve()),
  };
}

const timesOf = ({
  tokens: { accessS, refreshS, graceS, startS, cookieS },
}: Config): Parameters<typeof TokenStore.open>[2] => ({
  accessMs: accessS * 1_000,
  refreshMs: refreshS * 1_000,
  graceMs: graceS * 1_000,
  startMs: startS * 1_000,
  cookieMs: cookieS * 1_000,
});

const agentsOf = (config: Config, { agents }: GatewayOptions): OpenedAgents =>
  agents === undefined
    ? openAgents(config, process.env)
    : { agents, defaultAgent: chooseDefault(agents, config.agent), confinement: undefined };

const openService = (
  { limits: { queueMax, turnsMax }, store, leaseMs }: Config,
  log: Log,
  clock: Clock,
  tokens: TokenStore,
  { agents, defaultAgent }: OpenedAgents,
  onError: (error: unknown) => void,
): Promise<SessionService> =>
  openSessionService({
    log,
    agents,
    defaultAgent,
    clock,
    randomId: () => newId('node'),
    queueMax,
    turnsMax,
    // Where there is one process alone, nobody waits for its lease to end.
    ...(store.kind === 'postgres' ? { leaseMs } : {}),
    // The configured admin token has no entry among the tokens.
    mayApprove: (subject, needs) => subject === ADMIN_SUBJECT || tokens.mayUse(subject, needs),
    onError,
  });

function openReaders(
  { limits }: Config,
  options: GatewayOptions,
  clock: Clock,
  build: string,
  tokens: TokenStore,
): Readers {
  const readers = new Readers({
    clock,
    build,
    readersMax: limits.readersMax,
    readersPerSubjectMax: limits.readersPerSubjectMax,
    stallMs: limits.readerStallMs,
    isValid: (principal) => isValid(principal, tokens, clock),
    ...options.readers,
  });
  tokens.onChange(() => readers.checkTokens());
  return readers;
}

function openTerminals(config: Config, clock: Clock, tokens: TokenStore): Terminals {
  const isAllowed = (principal: Principal): boolean => isValid(principal, tokens, clock);
  const terminals = new Terminals({ config, clock, env: process.env, isValid: isAllowed });
  tokens.onChange(() => terminals.checkTokens());
  return terminals;
}

/** With the stack, and that of what caused it. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { stack, message, cause } = error;
  return `${stack ?? message}${cause === undefined ? '' : `\nCaused by: ${textOf(cause)}`}`;
}
