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
import type { SessionService } from '@holdfast/session';
import { createApp } from './app.ts';
import { ADMIN_SUBJECT } from './auth/authenticate.ts';
import { newId, newSecret } from './auth/secret.ts';
import type { Config } from './config-table.ts';
import type { Context } from './context.ts';
import { refuseMalformed } from './http/respond.ts';
import type { Route } from './http/route.ts';
import { announceLocally } from './local.ts';
import { Metrics } from './metrics.ts';
import { closeAll, openParts, type Closer, type GatewayOptions, type Parts } from './parts.ts';
import { startUrl } from './routes/tokens.ts';
import { serveStatic } from './static.ts';
import { StoreProbe } from './store-probe.ts';
import { EntryEncoder } from './stream/encode.ts';
import { Feed } from './stream/feed.ts';

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

const KEEP_ALIVE_MS = 65_000;
const HEADERS_TIMEOUT_MS = 20_000;
/** Given to those who hang on beyond the drain (rule 2). */
const HANG_MS = 3_000;
/** Readers come back spread over this. */
const RETRY_MS = 1_000;

type Phase = 'starting' | 'ready' | 'draining' | 'closed';
interface Address {
  readonly url: string;
  readonly port: number;
}

/** @throws FaultError where the configuration, the store or the address cannot be used */
export async function startGateway(config: Config, options: GatewayOptions = {}): Promise<RunningGateway> {
  const closers: Closer[] = [];
  try {
    const parts = await openParts(config, options, closers);
    const gateway = new Gateway(config, options, parts, closers);
    await gateway.listen();
    return gateway;
  } catch (error) {
    // What kept it from starting is told; what fails in its wake is not.
    await closeAll(closers, () => undefined);
    throw error;
  }
}

class Gateway implements RunningGateway {
  readonly routes: readonly Route[];
  readonly service: SessionService;
  readonly adminToken: string = newSecret();
  readonly #config: Config;
  readonly #options: GatewayOptions;
  readonly #parts: Parts;
  readonly #closers: Closer[];
  readonly #server: Server;
  #address: Address;
  #phase: Phase = 'starting';
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(config: Config, options: GatewayOptions, parts: Parts, closers: Closer[]) {
    this.#config = config;
    this.#options = options;
    this.#parts = parts;
    this.#closers = closers;
    this.#address = { url: '', port: config.port };
    this.service = parts.service;
    const { publicUrl, web = options.webDirectory } = config;
    const files = serveStatic({
      directory: web,
      prefix: publicUrl?.pathname.replace(/\/+$/, '') ?? '',
      clock: parts.clock,
    });
    const app = createApp(this.#context(), files);
    this.routes = app.routes;
    this.#server = createServer(
      config,
      getRequestListener(app.fetch, { overrideGlobalObjects: false, errorHandler: this.#onMalformed }),
    );
  }

  get url(): string {
    return this.#address.url;
  }

  get port(): number {
    return this.#address.port;
  }

  async listen(): Promise<void> {
    this.#address = await listen(this.#server, this.#config, this.#scheme);
    this.#closers.unshift(() => closeServer(this.#server));
    const { logger, announce, defaultAgent } = this.#parts;
    // With nothing awaited since the port was bound.
    if (this.#config.store.kind !== 'memory') this.#closers.unshift(this.#announceLocally());
    await announce(this.url);
    this.#phase = 'ready';
    logger.info({ address: this.url, store: this.#config.store.kind, agent: defaultAgent }, 'ready');
    if (isInTheOpen(this.#config)) logger.warn({ host: this.#config.host }, IN_THE_OPEN);
  }

  #announceLocally(): Closer {
    const { data, tls } = this.#config;
    return announceLocally(data, {
      url: this.url,
      pid: process.pid,
      token: this.adminToken,
      ...(tls.cert === undefined ? {} : { cert: readPem('HOLDFAST_TLS_CERT', tls.cert).toString() }),
    });
  }

  async startLink(): Promise<string> {
    const code = await this.#parts.tokens.issueStart(ADMIN_SUBJECT, ['admin']);
    if (typeof code === 'object') throw new FaultError(code);
    return startUrl(this.#pageUrl(), code);
  }

  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #drain(): Promise<void> {
    const { readers, terminals, service, logger } = this.#parts;
    this.#phase = 'draining';
    logger.info({ readers: readers.size, ...service.stats() }, 'draining');
    readers.dismiss({ reason: 'shutdown', retryAfterMs: RETRY_MS });
    const left = terminals.close();
    if (this.#options.service === undefined)
      await this.#within(service.drain(this.#config.drainMs), this.#config.drainMs + HANG_MS);
    await this.#within(left, HANG_MS);
  }

  async #close(): Promise<void> {
    await this.drain();
    await this.#within(closeAll(this.#closers, this.#parts.onError), HANG_MS);
    this.#phase = 'closed';
    this.#parts.logger.info('closed');
  }

  /** Rule 2. What fails is told, and keeps nothing else from its end. */
  async #within(work: Promise<void>, ms: number): Promise<void> {
    const { clock, onError } = this.#parts;
    const done = new AbortController();
    await Promise.race([work.catch(onError).finally(() => done.abort()), clock.sleep(ms, done.signal)]);
  }

  get #scheme(): 'http' | 'https' {
    return this.#config.tls.cert === undefined ? 'http' : 'https';
  }

  #pageUrl(): string {
    return (this.#config.publicUrl?.href ?? this.url).replace(/\/+$/, '');
  }

  #context(): Context {
    const { log, clock, build, logger, tokens, service, readers, terminals, defaultAgent, onError } = this.#parts;
    const probe = new StoreProbe(log, clock, newId('ready'));
    const { hosts, origins, publicUrl, token } = this.#config;
    return {
      config: this.#config,
      clock,
      build,
      logger,
      tokens,
      service,
      readers,
      terminals,
      defaultAgent,
      encoder: new EntryEncoder(),
      feed: new Feed({ service, clock, onError }),
      metrics: new Metrics({
        terminals,
        readers: () => readers.size,
        bytesSent: () => readers.bytesSent,
        stats: () => service.stats(),
      }),
      adminSecrets: token === undefined ? [this.adminToken] : [token, this.adminToken],
      door: () => ({ scheme: this.#scheme, port: this.port, hosts, origins, publicUrl }),
      pageUrl: () => this.#pageUrl(),
      readiness: async () => {
        if (this.#phase !== 'ready') return { ready: false, why: this.#phase };
        const whyNot = await probe.whyNot();
        return { ready: whyNot === undefined, why: whyNot ?? this.#phase };
      },
    };
  }

  /** What the routes never saw: a request without a host, or a client that left while it was read. */
  readonly #onMalformed = (error: unknown): Response | undefined => {
    if (error instanceof RequestError) return refuseMalformed();
    this.#parts.onError(error);
    return undefined;
  };
}

const IN_THE_OPEN =
  'Other machines can reach this gateway without TLS: tokens and conversations cross the network in the clear. ' +
  'Set HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY, or listen on 127.0.0.1 behind a proxy that serves https.';

/** A public URL with https is a proxy's, which reaches the gateway on a network of its own. */
const isInTheOpen = ({ host, tls, publicUrl }: Config): boolean =>
  !/^(?:127\.|::1$|localhost$)/.test(host) && tls.cert === undefined && publicUrl?.protocol !== 'https:';

// ── the port ────────────────────────────────────────────────────────────────────────────────────────────────────────

function createServer({ tls }: Config, listener: ReturnType<typeof getRequestListener>): Server {
  const options = {
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: 0,
    noDelay: true,
  };
  const onRequest = (...args: Parameters<typeof listener>): void => void listener(...args);
  if (tls.cert === undefined || tls.key === undefined) return createHttpServer(options, onRequest);
  const [cert, key] = [readPem('HOLDFAST_TLS_CERT', tls.cert), readPem('HOLDFAST_TLS_KEY', tls.key)];
  try {
    return createHttpsServer({ ...options, cert, key }, onRequest);
  } catch (error) {
    throw new FaultError(
      fault(
        'invalid-config',
        `HOLDFAST_TLS_CERT (${tls.cert}) and HOLDFAST_TLS_KEY (${tls.key}) are no pair (${(error as Error).message}). Name a certificate and its own key, without a passphrase, each a PEM file.`,
      ),
      { cause: error },
    );
  }
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

function listen(server: Server, { host, port }: Config, scheme: string): Promise<Address> {
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
