/**
 * What the tests of many nodes stand on: real gateway processes on one PostgreSQL, each with a wire of its own to it, and readers
 * that keep what they were shown.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createParser } from 'eventsource-parser';
import { onTestFinished } from 'vitest';
import { startBalancer, type Balancer } from '../balancer.ts';
import { TOKEN } from '../crash/gateway.ts';
import { Nodes, type Env } from '../crash/nodes.ts';
import { startPostgres, type PostgresServer } from '../postgres.ts';

const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface Stand {
  readonly server: PostgresServer;
  readonly nodes: Nodes;
  /** Of each node, to the database. */
  readonly wires: readonly Balancer[];
  /** Where its tools work. */
  readonly workspace: string;
  ask(node: number, method: string, path: string, body?: object): Promise<Answer>;
  open(sessionId: string): Promise<void>;
  send(node: number, sessionId: string, clientId: string, text: string): Promise<Answer>;
  watch(node: number, sessionId: string, after?: string): Watch;
  /** Through the balancer. */
  watchAnyNode(sessionId: string, after?: string): Watch;
  /** The node that runs the turn which has begun, and another: whichever comes first takes up a message. */
  runner(): Promise<readonly [number, number]>;
}

/** Everything is gone when the test is. */
export async function openStand(
  count: number,
  env: Env = {},
  given?: { readonly server: PostgresServer; readonly tablespace: string },
): Promise<Stand> {
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  const workspace = await mkdtemp(path.join(os.tmpdir(), 'holdfast-nodes-'));
  stack.defer(() => rm(workspace, { recursive: true, force: true }));
  const database = given?.server ?? stack.use(await startPostgres());
  const name = `nodes_${path.basename(workspace).slice(-6).toLowerCase()}`;
  const url = new URL(await database.createDatabase(name));
  if (given !== undefined) await database.query(`ALTER DATABASE ${name} SET TABLESPACE ${given.tablespace}`);
  const wires: Balancer[] = [];
  for (let node = 0; node < count; node += 1)
    wires.push(stack.adopt(await startBalancer([database.port]), (wire) => wire.close()));
  const urlBy = (node: number): string => {
    const by = new URL(url);
    by.port = String(wires[node]?.port);
    return by.href;
  };
  const base = {
    HOLDFAST_WORKSPACE: workspace,
    HOLDFAST_MODEL_TOOLS: 'shell',
    HOLDFAST_UNSANDBOXED_TOOLS: '1',
    HOLDFAST_LOG: 'silent',
    ...env,
  };
  const nodes = stack.adopt(
    await Nodes.start(count, workspace, (node) => ({ ...base, HOLDFAST_STORE: urlBy(node) })),
    (it) => it.stop(),
  );
  const ask: Stand['ask'] = async (node, method, at, body) => {
    const response = await fetch(nodes.gateway(node).url + at, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    });
    return { status: response.status, body: JSON.parse((await response.text()) || '{}') as Answer['body'] };
  };
  const watch = (origin: string, sessionId: string, after = '0'): Watch => {
    const opened = new Watch(`${origin}/v1/sessions/${sessionId}/events?after=${after}`);
    onTestFinished(() => opened.close());
    return opened;
  };
  const all = wires.map((_, node) => node);
  return {
    server: database,
    nodes,
    wires,
    workspace,
    ask,
    open: async (sessionId) => void (await ask(0, 'POST', '/v1/sessions', { sessionId })),
    send: (node, sessionId, clientId, text) =>
      ask(node, 'POST', `/v1/sessions/${sessionId}/messages`, { clientId, text }),
    watch: (node, sessionId, after) => watch(nodes.gateway(node).url, sessionId, after),
    watchAnyNode: (sessionId, after) => watch(nodes.balancer.origin, sessionId, after),
    async runner() {
      const runner = await nodes.busiest(all);
      return [runner, (runner + 1) % count];
    },
  };
}

export interface Shown {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: Readonly<Record<string, unknown>>;
}

/** One stream, from its opening to its end. */
export class Watch {
  readonly shown: Shown[] = [];
  /** How the connection ended. */
  readonly ended: Promise<'clean' | 'broken'>;
  readonly #abort = new AbortController();
  readonly #onShown = new Set<() => void>();
  #over: 'clean' | 'broken' | undefined;

  constructor(url: string) {
    this.ended = this.#read(url);
  }

  /** The first event that is it, shown or to come. @throws where the stream ends before it, or nothing of it comes within the time */
  async until(isIt: (shown: Shown) => boolean, withinMs = 60_000): Promise<Shown> {
    const late = AbortSignal.timeout(withinMs);
    for (;;) {
      const found = this.shown.find(isIt);
      if (found !== undefined) return found;
      const last = this.shown.map(({ event }) => event).slice(-8);
      if (this.#over !== undefined) throw new Error(`The stream ended ${this.#over} after ${last.join(', ')}.`);
      if (late.aborted) throw new Error(`Not shown within ${withinMs} ms; the last were ${last.join(', ')}.`);
      await new Promise<void>((resolve) => {
        this.#onShown.add(resolve);
        late.addEventListener('abort', () => resolve(), { once: true });
      });
      this.#onShown.clear();
    }
  }

  untilType(event: string, withinMs?: number): Promise<Shown> {
    return this.until((shown) => shown.event === event, withinMs);
  }

  get entries(): readonly Shown[] {
    return this.shown.filter(({ id }) => id !== undefined && id !== '');
  }

  close(): void {
    this.#abort.abort();
  }

  async #read(url: string): Promise<'clean' | 'broken'> {
    const parser = createParser({
      onEvent: ({ event = '', id, data }) => {
        this.shown.push({ event, id, data: JSON.parse(data) as Shown['data'] });
        this.#tell();
      },
    });
    try {
      const response = await fetch(url, { headers, signal: this.#abort.signal });
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) parser.feed(decoder.decode(chunk, { stream: true }));
      this.#over = 'clean';
    } catch {
      this.#over = 'broken';
    }
    this.#tell();
    return this.#over;
  }

  #tell(): void {
    for (const wake of this.#onShown) wake();
  }
}

/** Asked again until it is so. */
export async function eventually(isSo: () => Promise<boolean>, withinMs = 60_000): Promise<void> {
  const until = performance.now() + withinMs;
  while (!(await isSo())) {
    if (performance.now() > until) throw new Error(`It did not come to be so within ${withinMs} ms.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
