/** What `deploy/` says is held against the code: settings, ports, routes, times, rights. No container runs here. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { configHelp, loadConfig } from '@holdfast/gateway/config';
import { configOf, startGateway } from '@holdfast/gateway';
import { expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');

/** What stands at a path of a document. */
const at = (node: unknown, ...keys: readonly (string | number)[]): unknown =>
  keys.reduce<unknown>((found, key) => (found as Readonly<Record<string, unknown>> | undefined)?.[key], node);
const text = (node: unknown, ...keys: readonly (string | number)[]): string => String(at(node, ...keys));
const list = (node: unknown, ...keys: readonly (string | number)[]): readonly unknown[] =>
  (at(node, ...keys) ?? []) as readonly unknown[];
const entries = (node: unknown, ...keys: readonly (string | number)[]): readonly (readonly [string, unknown])[] =>
  Object.entries(at(node, ...keys) ?? {});

/** The store is closed and its holders have left within this, after the drain. */
const CLOSING_MS = 10_000;

const compose: unknown = parse(read('deploy/compose.yaml'), { merge: true });
const kubernetes = new Map<string, unknown>(
  readdirSync(path.join(ROOT, 'deploy/kubernetes')).map((name) => {
    const documents = parseAllDocuments(read(`deploy/kubernetes/${name}`));
    expect(documents.flatMap((document) => [...document.errors, ...document.warnings])).toEqual([]);
    return [name, documents[0]?.toJS()] as const;
  }),
);
const deployment = kubernetes.get('deployment.yaml');
const service = kubernetes.get('service.yaml');
const secret = kubernetes.get('secret.template.yaml');
const pod = at(deployment, 'spec', 'template');
const container = at(pod, 'spec', 'containers', 0);
const dockerfile = read('deploy/Dockerfile')
  .replaceAll('\\\n', ' ')
  .split('\n')
  .filter((line) => /^[A-Z]+ /.test(line))
  .map((line) => ({ verb: line.slice(0, line.indexOf(' ')), rest: line.slice(line.indexOf(' ') + 1).trim() }));
const lastStage = dockerfile.slice(dockerfile.findLastIndex(({ verb }) => verb === 'FROM'));
const imageEnv = Object.fromEntries(
  [...(lastStage.find(({ verb }) => verb === 'ENV')?.rest ?? '').matchAll(/(\w+)=(\S+)/g)].map((it) => [
    it[1]!,
    it[2]!,
  ]),
);

/** As compose reads it: `${NAME:-default}`, `${NAME:?…}`. */
const filledIn = (value: string): string =>
  value.replaceAll(/\$\{\w+:([-?])([^}]*)\}/g, (_whole, kind: string, rest: string) =>
    kind === '-' ? rest : 'filled',
  );

async function openRoutes(): Promise<readonly string[]> {
  const gateway = await startGateway(configOf({ port: 0, store: { kind: 'memory' }, log: 'silent' }));
  await gateway.close();
  return gateway.routes.filter((route) => route.right === 'open' && route.method === 'get').map((route) => route.path);
}

const composeGateways = entries(compose, 'services').filter(([name]) => name.startsWith('gateway'));

function gatewayEnvs(): readonly (readonly [string, Readonly<Record<string, string>>])[] {
  const composed = composeGateways.map(([name, gateway]) => {
    const set = entries(gateway, 'environment').map(([key, value]) => [key, filledIn(String(value))] as const);
    return [name, { ...imageEnv, ...Object.fromEntries(set) }] as const;
  });
  const secretValues = at(secret, 'stringData') as Readonly<Record<string, string>>;
  const inPod = list(container, 'env').map((variable) => {
    const reference = at(variable, 'valueFrom', 'secretKeyRef');
    const key = text(reference, 'key');
    const value = reference === undefined ? text(variable, 'value') : (secretValues[key] ?? '');
    return [text(variable, 'name'), value] as const;
  });
  return [...composed, ['pod', { ...imageEnv, ...Object.fromEntries(inPod) }]];
}

test.each(gatewayEnvs())(
  '%s: its environment is a configuration, on PostgreSQL, and each variable exists',
  (_name, env) => {
    const known = new Set(configHelp().map((row) => row.env));
    expect(Object.keys(env).filter((name) => name.startsWith('HOLDFAST_') && !known.has(name))).toEqual([]);
    const loaded = loadConfig({ ...env, HOLDFAST_CONFIG: '' }, '/app');
    expect(loaded).toMatchObject({
      kind: 'config',
      config: { host: '0.0.0.0', data: '/data', store: { kind: 'postgres' } },
    });
  },
);

test('the image: not root, our Node, what it copies is there, and its health check asks a route that exists', async () => {
  const engines = (JSON.parse(read('apps/cli/package.json')) as { readonly engines: { readonly node: string } })
    .engines;
  const major = engines.node.replace('>=', '');
  for (const { rest } of dockerfile.filter(({ verb }) => verb === 'FROM'))
    expect(rest).toMatch(new RegExp(`^node:${major}-`));
  expect(lastStage.findLast(({ verb }) => verb === 'USER')?.rest).toBe('1000:1000');
  const copied = lastStage
    .filter(({ verb, rest }) => verb === 'COPY' && !rest.includes('node_modules') && !rest.includes('/dist'))
    .map(({ rest }) => rest.split(/\s+/).at(-1)!);
  expect(copied.filter((name) => !existsSync(path.join(ROOT, name)))).toEqual([]);
  const [runs] = parse(lastStage.find(({ verb }) => verb === 'ENTRYPOINT')!.rest).slice(1) as readonly string[];
  expect(existsSync(path.join(ROOT, runs!))).toBe(true);
  const port = lastStage.find(({ verb }) => verb === 'EXPOSE')?.rest;
  expect(port).toBe(imageEnv['HOLDFAST_PORT']);
  const asked = /http:\/\/127\.0\.0\.1:(\d+)(\/\w+)/.exec(lastStage.find(({ verb }) => verb === 'HEALTHCHECK')!.rest)!;
  expect(asked[1]).toBe(port);
  expect(await openRoutes()).toContain(asked[2]);
});

test('compose: two gateways without rights, which end in order, and whatever one names is there', () => {
  const names = entries(compose, 'services').map(([name]) => name);
  expect(composeGateways).toHaveLength(2);
  for (const [, gateway] of composeGateways) {
    expect(gateway).toMatchObject({ read_only: true, user: '1000:1000', cap_drop: ['ALL'] });
    const built = path.join(ROOT, 'deploy', text(gateway, 'build', 'context'), text(gateway, 'build', 'dockerfile'));
    expect(existsSync(built)).toBe(true);
    const drainMs = Number(at(gateway, 'environment', 'HOLDFAST_DRAIN_MS'));
    const graceMs = Number.parseInt(text(gateway, 'stop_grace_period'), 10) * 1_000;
    expect(graceMs).toBeGreaterThanOrEqual(drainMs + CLOSING_MS);
    const store = new URL(text(gateway, 'environment', 'HOLDFAST_STORE'));
    expect(names).toContain(store.hostname);
    expect(at(compose, 'services', store.hostname, 'environment')).toMatchObject({
      POSTGRES_USER: store.username,
      POSTGRES_DB: store.pathname.slice(1),
    });
  }
  for (const [, one] of entries(compose, 'services')) {
    expect(text(one, 'image')).toMatch(/^[\w./-]+:[\w.-]+$/);
    for (const [needed] of entries(one, 'depends_on')) expect(names).toContain(needed);
    const mounted = list(one, 'volumes').map((volume) => String(volume).split(':')[0] ?? '');
    const absent = mounted.filter((name) => name.startsWith('./') && !existsSync(path.join(ROOT, 'deploy', name)));
    expect(absent).toEqual([]);
  }
});

test('the balancer: its servers are the gateways, on their port; nothing is buffered, and silence outlasts a heartbeat', () => {
  const conf = read('deploy/nginx.conf');
  const servers = [...conf.matchAll(/^\s*server ([\w-]+):(\d+)/gm)].map((it) => `${it[1]}:${it[2]}`);
  expect(servers).toEqual(composeGateways.map(([name]) => `${name}:${imageEnv['HOLDFAST_PORT']}`));
  const listens = /listen (\d+);/.exec(conf)?.[1];
  expect(text(compose, 'services', 'balancer', 'ports', 0)).toMatch(new RegExp(`:${listens}$`));
  expect(conf).toMatch(/proxy_buffering off;/);
  expect(Number(/proxy_read_timeout (\d+)s/.exec(conf)?.[1])).toBeGreaterThanOrEqual(60);
  expect(conf.split('{').length).toBe(conf.split('}').length);
});

test('the pod: no rights, a root file system that is only read, and time to drain', () => {
  expect(at(pod, 'spec')).toMatchObject({
    enableServiceLinks: false,
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, runAsUser: 1000 },
  });
  expect(at(container, 'securityContext')).toMatchObject({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
  const drain = list(container, 'env').find((variable) => at(variable, 'name') === 'HOLDFAST_DRAIN_MS');
  const graceMs = Number(at(pod, 'spec', 'terminationGracePeriodSeconds')) * 1_000;
  expect(graceMs).toBeGreaterThanOrEqual(Number(at(drain, 'value')) + CLOSING_MS);
  const mounts = list(container, 'volumeMounts');
  expect(list(pod, 'spec', 'volumes').map((it) => at(it, 'name'))).toEqual(mounts.map((it) => at(it, 'name')));
  expect(mounts.map((mount) => at(mount, 'mountPath'))).toContain(imageEnv['HOLDFAST_DATA']);
  expect(text(container, 'image')).toMatch(/^[\w./-]+:[\w.-]+$/);
});

test('the pod’s probes ask open routes, at a port that the container has and the service leads to', async () => {
  const routes = await openRoutes();
  const ports = list(container, 'ports').map((port) => at(port, 'name'));
  for (const [probe, route] of [
    ['startupProbe', '/healthz'],
    ['livenessProbe', '/healthz'],
    ['readinessProbe', '/readyz'],
  ] as const) {
    expect(at(container, probe, 'httpGet', 'path')).toBe(route);
    expect(routes).toContain(route);
    expect(ports).toContain(at(container, probe, 'httpGet', 'port'));
  }
  expect(text(container, 'ports', 0, 'containerPort')).toBe(imageEnv['HOLDFAST_PORT']);
  expect(ports).toContain(at(service, 'spec', 'ports', 0, 'targetPort'));
});

test('Deployment, Service and PodDisruptionBudget mean the same pods, and the Secret has what they ask of it', () => {
  const labels = at(pod, 'metadata', 'labels');
  expect(at(deployment, 'spec', 'selector', 'matchLabels')).toEqual(labels);
  expect(at(service, 'spec', 'selector')).toEqual(labels);
  const budget = kubernetes.get('pod-disruption-budget.yaml');
  expect(at(budget, 'spec', 'selector', 'matchLabels')).toEqual(labels);
  expect(Number(at(deployment, 'spec', 'replicas'))).toBeGreaterThan(Number(at(budget, 'spec', 'maxUnavailable')));
  expect([...kubernetes.values()].map((it) => `${text(it, 'apiVersion')} ${text(it, 'kind')}`).toSorted()).toEqual([
    'apps/v1 Deployment',
    'policy/v1 PodDisruptionBudget',
    'v1 Secret',
    'v1 Service',
  ]);
  const asked = list(container, 'env').map((variable) => at(variable, 'valueFrom', 'secretKeyRef'));
  const template = read('deploy/kubernetes/secret.template.yaml');
  for (const reference of asked.filter((it) => it !== undefined)) {
    expect(at(reference, 'name')).toBe(at(secret, 'metadata', 'name'));
    expect(template).toMatch(new RegExp(`^ +(# )?${text(reference, 'key')}:`, 'm'));
  }
});
