/**
 * A running gateway: from a configuration to a port that answers, and back to nothing.
 *
 * Stages of the start: log, tokens, agents, sessions (which recover what a dead process left), routes, port. Ready is said last.
 * Stages of the end: not ready; readers told goodbye; running turns drained; port, sessions, log closed.
 *
 * 1. What was opened here is closed here, in the opposite order, also when a later stage of the start fails.
 * 2. The end takes at most `drainMs` and a few seconds, whatever hangs.
 * 3. While it drains it still answers: a stop or an approval may be what a running turn waits for.
 */
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { getRequestListener, RequestError } from '@hono/node-server';
import { fault, FaultError } from '@holdfast/protocol';
import type { Log } from '@holdfast/log';
import { openSessionService, systemClock, type Agent, type Clock, type SessionService } from '@holdfast/session';
import { createApp } from './app.ts';
import { ADMIN_SUBJECT, isValid } from './auth/authenticate.ts';
import type { DoorOptions } from './auth/door.ts';
import { newId, newSecret } from './auth/secret.ts';
import { TokenStore } from './auth/token-store.ts';
import type { Config } from './config-table.ts';
import type { Context } from './context.ts';
import { refuseMalformed } from './http/respond.ts';
import type { Route } from './http/route.ts';
import { createLogger, withoutSecrets, type Logger } from './logger.ts';
import { Metrics } from './metrics.ts';
import { chooseDefault, openAgents } from './open-agents.ts';
import { openLog } from './open-log.ts';
import { startUrl } from './routes/tokens.ts';
import { serveStatic } from './static.ts';
import { EntryEncoder } from './stream/encode.ts';
import { Feed } from './stream/feed.ts';
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

export interface RunningGateway {
  /** `http://HOST:PORT` */
  readonly url: string;
  readonly port: number;
  readonly routes: readonly Route[];
  readonly service: SessionService;
  /** An admin bearer of this process alone: for the command line beside it. */
  readonly adminToken: string;
  /** A link that opens the page, once. */
  startLink(): Promise<string>;
  /** Not ready, readers dismissed, turns drained. */
  drain(): Promise<void>;
  /** Drains, and closes everything. */
  close(): Promise<void>;
}

const BUILD = '0.1.0';
const KEEP_ALIVE_MS = 65_000;
const HEADERS_TIMEOUT_MS = 20_000;
/** Given to those who hang on beyond the drain (rule 2). */
const HANG_MS = 3_000;
/** Readers come back spread over this. */
const RETRY_MS = 1_000;

type Phase = 'starting' | 'ready' | 'draining' | 'closed';
type Closer = () => Promise<void> | void;

/** @throws FaultError where the configuration, the store or the address cannot be used */
export async function startGateway(config: Config, options: GatewayOptions = {}): Promise<RunningGateway> {
  const closers: Closer[] = [];
  try {
    return await start(config, options, closers);
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

async function start(config: Config, options: GatewayOptions, closers: Closer[]): Promise<RunningGateway> {
  const { clock = systemClock, build = BUILD } = options;
  const logger = options.logger ?? createLogger(config.log);
  let phase: Phase = 'starting';

  const log = options.log ?? (await openLog(config));
  if (options.log === undefined) closers.unshift(() => log.close());
  const { accessS, refreshS, graceS, startS, cookieS } = config.tokens;
  const times = {
    accessMs: accessS * 1_000,
    refreshMs: refreshS * 1_000,
    graceMs: graceS * 1_000,
    startMs: startS * 1_000,
    cookieMs: cookieS * 1_000,
  };
  const tokens = await TokenStore.open(log, clock, times);
  closers.unshift(() => tokens.close());

  const { agents, defaultAgent } =
    options.agents === undefined
      ? openAgents(config, process.env)
      : { agents: options.agents, defaultAgent: chooseDefault(options.agents, config.agent) };
  const onError = (error: unknown): void =>
    logger.error(
      { error: withoutSecrets(error instanceof Error ? (error.stack ?? error.message) : String(error)) },
      'error',
    );
  const service =
    options.service ??
    (await openSessionService({
      log,
      agents,
      defaultAgent,
      clock,
      randomId: () => newId('node'),
      queueMax: config.limits.queueMax,
      onError,
    }));
  if (options.service === undefined) closers.unshift(() => service.close());

  const readers = new Readers({
    clock,
    build,
    readersMax: config.limits.readersMax,
    readersPerSubjectMax: config.limits.readersPerSubjectMax,
    stallMs: config.limits.readerStallMs,
    isValid: (principal) => isValid(principal, tokens, clock),
    ...options.readers,
  });
  closers.unshift(() => readers.close());
  tokens.onChange(() => readers.checkTokens());

  const adminToken = newSecret();
  const scheme = config.tls.cert === undefined ? 'http' : 'https';
  let address = { url: '', port: config.port };
  const door = (): DoorOptions => ({
    scheme,
    port: address.port,
    hosts: config.hosts,
    origins: config.origins,
    publicUrl: config.publicUrl,
  });
  const pageUrl = (): string => (config.publicUrl?.href ?? address.url).replace(/\/+$/, '');
  const context: Context = {
    build,
    config,
    clock,
    service,
    tokens,
    readers,
    encoder: new EntryEncoder(),
    feed: new Feed({ service, clock, onError }),
    metrics: new Metrics({
      readers: () => readers.size,
      bytesSent: () => readers.bytesSent,
      stats: () => service.stats(),
    }),
    logger,
    defaultAgent,
    adminSecrets: config.token === undefined ? [adminToken] : [config.token, adminToken],
    door,
    pageUrl,
    readiness: () => ({ ready: phase === 'ready', why: phase }),
  };
  const files = serveStatic({
    directory: config.web ?? options.webDirectory,
    prefix: config.publicUrl?.pathname.replace(/\/+$/, '') ?? '',
    clock,
  });
  const app = createApp(context, files);

  const server = createServer(config, getRequestListener(app.fetch, { overrideGlobalObjects: false, errorHandler }));
  address = await listen(server, config, scheme);
  closers.unshift(() => closeServer(server));
  phase = 'ready';
  logger.info({ address: address.url, store: config.store.kind, agent: defaultAgent }, 'ready');

  let draining: Promise<void> | undefined;
  const drain = (): Promise<void> => {
    draining ??= (async () => {
      phase = 'draining';
      logger.info({ readers: readers.size, ...service.stats() }, 'draining');
      readers.dismiss({ reason: 'shutdown', retryAfterMs: RETRY_MS });
      const drained = options.service === undefined ? service.drain(config.drainMs) : Promise.resolve();
      await Promise.race([drained, clock.sleep(config.drainMs + HANG_MS)]);
    })();
    return draining;
  };
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      await drain();
      await Promise.race([closeAll(closers), clock.sleep(HANG_MS)]);
      phase = 'closed';
      logger.info('closed');
    })();
    return closing;
  };
  const startLink = async (): Promise<string> => {
    const code = await tokens.issueStart(ADMIN_SUBJECT, ['admin']);
    if (typeof code === 'object') throw new FaultError(code);
    return startUrl(pageUrl(), code);
  };
  return { ...address, routes: app.routes, service, adminToken, startLink, drain, close };
}

async function closeAll(closers: readonly Closer[]): Promise<void> {
  for (const close of closers) await close();
}

// ── the port ────────────────────────────────────────────────────────────────────────────────────────────────────────

function createServer({ tls }: Config, listener: ReturnType<typeof getRequestListener>): Server {
  const options = { keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: HEADERS_TIMEOUT_MS, noDelay: true };
  const onRequest = (...args: Parameters<typeof listener>): void => void listener(...args);
  if (tls.cert === undefined || tls.key === undefined) return createHttpServer(options, onRequest);
  return createHttpsServer(
    { ...options, cert: readPem('HOLDFAST_TLS_CERT', tls.cert), key: readPem('HOLDFAST_TLS_KEY', tls.key) },
    onRequest,
  );
}

function readPem(name: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new FaultError(
      fault(
        'invalid-config',
        `${name} names ${path}, which cannot be read (${(error as NodeJS.ErrnoException).code}). Correct the path, or unset it to serve http.`,
      ),
      { cause: error },
    );
  }
}

function listen(
  server: Server,
  { host, port }: Config,
  scheme: string,
): Promise<{ readonly url: string; readonly port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new FaultError(listenFault(error, host, port), { cause: error })),
    );
    server.listen(port, host, () => {
      const bound = server.address();
      const actual = typeof bound === 'object' && bound !== null ? bound.port : port;
      resolve({ url: `${scheme}://${host.includes(':') ? `[${host}]` : host}:${actual}`, port: actual });
    });
  });
}

function listenFault({ code }: NodeJS.ErrnoException, host: string, port: number): ReturnType<typeof fault> {
  if (code === 'EADDRINUSE')
    return fault(
      'address-in-use',
      `Port ${port} on ${host} is taken by another program, perhaps another Holdfast. Stop it, or set HOLDFAST_PORT to another port (0: any).`,
    );
  if (code === 'EACCES')
    return fault('invalid-config', `Port ${port} may not be opened by this user. Set HOLDFAST_PORT to one above 1023.`);
  return fault(
    'invalid-config',
    `The gateway cannot listen on ${host}:${port} (${code}). Set HOLDFAST_HOST to an address of this machine.`,
  );
}

/** Readers have been told; whoever is still there is broken off. */
function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    // A goodbye that was just written is on its way out of the process.
    setImmediate(() => server.closeAllConnections());
  });
}
