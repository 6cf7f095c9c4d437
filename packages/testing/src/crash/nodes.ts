/**
 * Three gateways on one database behind a balancer, and what can happen to each of them.
 *
 * 1. The balancer sends new connections to the nodes that are there, as one with a readiness check would; a paused node cannot be
 *    told from a slow one and goes on getting its share.
 * 2. Whatever happens to a node, it is back when the promise resolves.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBalancer, type Balancer } from '../balancer.ts';
import { startGateway, TOKEN, type GatewayProcess } from './gateway.ts';

export type Env = Readonly<Record<string, string>>;

/** A node that is told to leave and does not is broken. */
const LEAVE_MS = 120_000;

export class Nodes {
  readonly balancer: Balancer;
  readonly #dir: string;
  readonly #env: (node: number) => Env;
  readonly #gateways = new Map<number, GatewayProcess>();

  private constructor(balancer: Balancer, dir: string, env: (node: number) => Env) {
    this.balancer = balancer;
    this.#dir = dir;
    this.#env = env;
  }

  static async start(count: number, dir: string, env: (node: number) => Env): Promise<Nodes> {
    const nodes = new Nodes(await startBalancer([]), dir, env);
    try {
      for (let node = 0; node < count; node += 1) await nodes.start(node);
    } catch (error) {
      await nodes.stop();
      throw error;
    }
    return nodes;
  }

  gateway(node: number): GatewayProcess {
    const gateway = this.#gateways.get(node);
    if (gateway === undefined) throw new Error(`Node ${node} is not there.`);
    return gateway;
  }

  async start(node: number): Promise<void> {
    const data = path.join(this.#dir, `node-${node}`);
    await mkdir(data, { recursive: true });
    this.#gateways.set(node, await startGateway({ ...this.#env(node), HOLDFAST_DATA: data }));
    this.#route();
  }

  async kill(node: number): Promise<void> {
    await this.#end(node, 'SIGKILL');
    await this.start(node);
  }

  /** One step of a rolling deploy. */
  async roll(node: number): Promise<void> {
    await this.leave(node);
    await this.start(node);
  }

  /** Asked to go, as a deploy asks. @returns what it said on standard error */
  leave(node: number): Promise<string> {
    return this.#end(node, 'SIGTERM');
  }

  /** Nothing of it moves for so long; it does not know. */
  async pause(node: number, forMs: number): Promise<void> {
    const gateway = this.gateway(node);
    gateway.kill('SIGSTOP');
    await sleep(forMs);
    gateway.kill('SIGCONT');
  }

  /** Its wall clock goes an hour forward, or back again. */
  async stepClock(node: number): Promise<void> {
    this.gateway(node).kill('SIGUSR2');
  }

  /** The one that runs most turns now, of these. */
  async busiest(among: readonly number[]): Promise<number> {
    const running = await Promise.all(among.map(async (node) => ({ node, turns: await turnsOf(this.gateway(node)) })));
    return running.toSorted((a, b) => b.turns - a.turns)[0]?.node ?? 0;
  }

  async stop(): Promise<void> {
    await this.balancer.close();
    const gateways = [...this.#gateways.values()];
    for (const gateway of gateways) gateway.kill('SIGKILL');
    await Promise.all(gateways.map(({ gone }) => gone));
  }

  async #end(node: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<string> {
    const gateway = this.gateway(node);
    this.#gateways.delete(node);
    this.#route();
    gateway.kill(signal);
    const late = new AbortController();
    const stays = sleep(LEAVE_MS, undefined, { signal: late.signal }).then(() => {
      gateway.kill('SIGKILL');
      throw new Error(`Node ${node} was still there ${LEAVE_MS} ms after ${signal}.`);
    });
    stays.catch(() => undefined);
    const said = await Promise.race([gateway.gone, stays]);
    late.abort();
    return said;
  }

  #route(): void {
    this.balancer.route([...this.#gateways.values()].map(({ url }) => Number(new URL(url).port)));
  }
}

async function turnsOf({ url }: GatewayProcess): Promise<number> {
  const headers = { authorization: `Bearer ${TOKEN}` };
  const text = await fetch(`${url}/metrics`, { headers, signal: AbortSignal.timeout(1_000) }).then(
    (response) => response.text(),
    () => '',
  );
  return Number(/^holdfast_turns_running (\d+)/m.exec(text)?.[1] ?? 0);
}
