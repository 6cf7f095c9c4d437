/**
 * The application: the table of routes behind one door.
 *
 * Stages of a request: the door (host, origin, credential), who it is, what they may, how fast; then path, query and body
 * are parsed, the route is run and its reply written. Each stage can only let on or refuse.
 *
 * 1. Every route goes through all stages; a route says which right it needs and cannot leave it out.
 * 2. Nothing about a request is read before its sender may make it: a stranger's body is never parsed.
 * 3. A throw is a bug: it is logged and answered `internal`, and it harms no other request. A `FaultError` is none, nor that the sender left.
 */
import type { IncomingMessage } from 'node:http';
import type { HttpBindings } from '@hono/node-server';
import { Hono, type Context as Handled } from 'hono';
import { fault, FaultError, type Fault } from '@holdfast/protocol';
import { authenticate } from './auth/authenticate.ts';
import { enter, type Entrance } from './auth/door.ts';
import { mayUse, type Principal } from './auth/principal.ts';
import { isFault } from './routes/access.ts';
import type { Context } from './context.ts';
import { codingRefusal, readJson } from './http/body.ts';
import { documentOf } from './http/openapi.ts';
import { cutIdleBody } from './http/idle-body.ts';
import { parseParams, parseWith } from './http/parse.ts';
import { queryRefusal } from './http/query.ts';
import { failed, type Headers, type Reply } from './http/reply.ts';
import { respond } from './http/respond.ts';
import { paramNamesOf, type Call, type Route } from './http/route.ts';
import { withoutSecrets } from './logger.ts';
import { RateLimiter } from './rate.ts';
import { STREAM_HEAD } from './routes/terminals.ts';
import { apiRoutes } from './routes/table.ts';
import type { StaticFiles } from './static.ts';

type Env = { Bindings: HttpBindings };
type Exchange = Handled<Env>;

/** Who asks on a route that anybody may use. */
const NOBODY: Principal = { subject: '', scopes: [], tokenId: undefined, expiresAt: null, via: 'bearer' };
/** They answer to any host: whoever probes knows the machine by another name. */
const PROBES: readonly string[] = ['/healthz', '/readyz'];

/** To nobody: the sender left in mid-body. */
const CUT_OFF = fault('invalid-request', 'The body was cut off before its end.');

export interface App {
  readonly fetch: Hono<Env>['fetch'];
  /** For the test of rights, and the documents. */
  readonly routes: readonly Route[];
}

export function createApp(context: Context, files: StaticFiles): App {
  const { clock, logger, metrics } = context;
  const prefix = (context.config.publicUrl?.pathname ?? '/').replace(/\/+$/, '');
  const hono = new Hono<Env>({ strict: false });
  // A proxy may hand the prefix on or strip it.
  const paths = (path: string): string[] =>
    prefix === '' ? [honoPath(path)] : [honoPath(path), prefix + honoPath(path)];
  let document: object | undefined;
  const routes: readonly Route[] = apiRoutes(context, () => (document ??= documentOf(routes, context.build)));
  const rate = new RateLimiter(clock, context.config.limits);
  const refusals = new Set<string>();

  for (const route of routes) hono.on(route.method, paths(route.path), (c) => serve(c, route));
  // `/v1/tokens/link` before `/v1/tokens/{tokenId}`: what is named has its own methods.
  const known = [...new Set(routes.map((route) => route.path))];
  for (const path of known.toSorted((a, b) => paramNamesOf(a).length - paramNamesOf(b).length)) {
    for (const served of paths(path)) hono.all(served, (c) => refuseMethod(c, path));
  }
  for (const served of paths('/v1/*'))
    hono.all(served, (c) => atDoor(c, () => Promise.resolve(failed(routeNotFound(c.req.path)))));
  hono.all('*', (c) =>
    atDoor(c, () => files.serve(c.req.method, withoutPrefix(c.req.path, prefix), (name) => c.req.header(name))),
  );
  hono.onError((error, c) => answer(c, failed(faultOf(error, c)), {}, c.req.path));

  return { fetch: hono.fetch, routes };

  // ── stages ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async function serve(c: Exchange, route: Route): Promise<Response> {
    const startedMs = clock.monotonicMs();
    const response = await atDoor(c, (entrance) => run(c, route, entrance), route);
    // A stream's head has gone out by now; its status is 200.
    const status = c.env.outgoing.headersSent ? c.env.outgoing.statusCode : response.status;
    const ms = clock.monotonicMs() - startedMs;
    metrics.answered(route.method, route.path, status, ms / 1_000);
    logger.debug({ method: route.method, route: route.path, status, ms: Math.round(ms * 10) / 10 }, 'request');
    return response;
  }

  async function atDoor(
    c: Exchange,
    inside: (entrance: Extract<Entrance, { kind: 'in' }>) => Promise<Reply>,
    route?: Route,
  ): Promise<Response> {
    const path = route?.path ?? c.req.path;
    // The page itself is nobody's secret, and who opens it from a bookmark cannot prove to come from it: no cookie is looked at.
    const entrance = PROBES.includes(path)
      ? ({ kind: 'in', credential: { kind: 'none' }, origin: undefined } as const)
      : enter((name) => (route === undefined && name === 'cookie' ? undefined : headerOf(c, name)), context.door());
    if (entrance.kind === 'refused') {
      tellRefusal(entrance.fault);
      return answer(c, failed(entrance.fault), {}, path);
    }
    const cors = entrance.origin === undefined ? {} : corsHeaders(entrance.origin);
    if (c.req.method === 'OPTIONS' && entrance.origin !== undefined)
      return answer(c, { kind: 'empty' }, { ...cors, ...PREFLIGHT }, path);
    try {
      return answer(c, await inside(entrance), cors, path);
    } catch (error) {
      return answer(c, failed(faultOf(error, c)), cors, path);
    }
  }

  /** A page cannot read why it was refused, so its developer looks here: once for each origin and host, 100 of them. */
  function tellRefusal({ kind, detail }: Fault): void {
    if (refusals.has(detail) || refusals.size === 100) return;
    refusals.add(detail);
    logger.warn({ fault: kind }, detail);
  }

  async function run(c: Exchange, route: Route, { credential }: Extract<Entrance, { kind: 'in' }>): Promise<Reply> {
    if (c.req.method === 'HEAD' && isStream(route))
      return failed(fault('method-not-allowed', 'A stream has no end to take the head of. Use GET.'));
    const principal =
      route.right === 'open' ? NOBODY : await authenticate(credential, context.tokens, context.adminSecrets);
    if (isFault(principal)) return failed(principal);
    if (route.right !== 'open' && !mayUse(principal, route.right))
      return failed(
        fault(
          'forbidden',
          `This needs a token with the scope ${route.right}; yours has ${principal.scopes.join(', ')}.`,
        ),
      );
    const { incoming } = c.env;
    const tooFast = PROBES.includes(route.path)
      ? undefined
      : rate.take(principal.tokenId ?? (principal.subject || `from ${incoming.socket.remoteAddress}`));
    const reply = tooFast === undefined ? await handle(c, route, principal) : failed(tooFast);
    // The metrics count refusals; whose they are is said here alone.
    if (reply.kind === 'fault')
      logger.debug({ subject: principal.subject, route: route.path, fault: reply.fault.kind }, 'refused');
    return reply;
  }

  async function handle(c: Exchange, route: Route, principal: Principal): Promise<Reply> {
    const { incoming } = c.env;
    const stop = cutIdleBody(incoming, clock);
    incoming.once('close', stop);
    const call = await parse(c, route, principal, incoming);
    return isFault(call) ? failed(call) : route.handle(call as Call<never, never, never>);
  }

  async function parse(
    c: Exchange,
    route: Route,
    principal: Principal,
    incoming: IncomingMessage,
  ): Promise<Call<unknown, unknown, unknown> | Fault> {
    const params = parseParams(route.path, (name) => c.req.param(name));
    if (params.kind === 'fault') return params.fault;
    const misused = route.path.startsWith('/v1/') ? queryRefusal(route, c.req.queries()) : undefined;
    if (misused !== undefined) return misused;
    const query = parseWith(route.query, 'query', c.req.query());
    if (query.kind === 'fault') return query.fault;
    const coding = codingRefusal(incoming);
    if (coding !== undefined) return coding;
    const json = route.body === undefined ? undefined : await readJson(incoming, context.config.limits);
    if (json?.kind === 'fault') return json.fault;
    const body = parseWith(route.body, 'body', json?.value);
    if (body.kind === 'fault') return body.fault;
    const header = (name: string): string | undefined => c.req.header(name);
    return { params: params.value, query: query.value, body: body.value, principal, incoming, header };
  }

  // ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────

  function answer(c: Exchange, reply: Reply, extra: Headers, path: string): Response {
    if (reply.kind === 'fault') {
      metrics.failed(reply.fault.kind);
      if (reply.fault.kind === 'internal')
        logger.error({ method: c.req.method, route: path, detail: withoutSecrets(reply.fault.detail) }, 'bug');
    }
    return respond(reply, c.env, extra);
  }

  function refuseMethod(c: Exchange, path: string): Promise<Response> {
    const allowed = routes.filter((route) => route.path === path).map((route) => route.method.toUpperCase());
    const detail = `${c.req.method} is not answered here. ${path} has ${allowed.join(', ')}.`;
    return atDoor(c, () =>
      Promise.resolve({
        kind: 'fault',
        fault: fault('method-not-allowed', detail),
        headers: { allow: allowed.join(', ') },
      }),
    );
  }

  /** A store that gives no answer rejects with its fault (the log's port): that is an outage, and no bug (R94). */
  function faultOf(error: unknown, c: Exchange): Fault {
    if (error instanceof FaultError) return error.fault;
    return error === c.env.incoming.errored ? CUT_OFF : bug(error, c);
  }

  function bug(error: unknown, c: Exchange): Fault {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    logger.error({ method: c.req.method, error: withoutSecrets(stack) }, 'bug');
    return fault(
      'internal',
      'The gateway made an error; its log says more. The same request may work again in a moment.',
      { retryAfterMs: 1_000 },
    );
  }
}

/** RFC 9112 §3.2.2: the host of an absolute-form target counts, whatever `Host` says. */
function headerOf(c: Exchange, name: string): string | undefined {
  if (name === 'host' && c.env.incoming.url?.startsWith('/') !== true && c.env.incoming.url !== '*')
    return new URL(c.req.url).host;
  return c.req.header(name);
}

const isStream = ({ path, docs }: Route): boolean =>
  docs.replies[200]?.mediaType === 'text/event-stream' || path.endsWith('/stream');

const honoPath = (path: string): string => path.replaceAll(/\{(\w+)\}/g, ':$1');

const withoutPrefix = (path: string, prefix: string): string =>
  prefix !== '' && (path === prefix || path.startsWith(`${prefix}/`)) ? path.slice(prefix.length) || '/' : path;

const routeNotFound = (path: string): Fault =>
  fault('route-not-found', `There is no ${path.slice(0, 200)}. GET /openapi.json lists what there is.`);

const corsHeaders = (origin: string): Headers => ({
  'access-control-allow-origin': origin,
  'access-control-expose-headers': `retry-after, ${STREAM_HEAD.join(', ')}`,
  'cross-origin-resource-policy': 'cross-origin',
  vary: 'origin',
});

const PREFLIGHT: Headers = {
  'access-control-allow-methods': 'GET, POST, PATCH, DELETE',
  'access-control-allow-headers': 'authorization, content-type, idempotency-key, last-event-id',
  'access-control-max-age': '600',
};
