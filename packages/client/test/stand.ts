/**
 * A real gateway with the rehearsal agent, a proxy that can break every connection, and clients of it: what the tests of
 * sessions run against.
 */
import { configOf, startGateway } from '@holdfast/gateway';
import { startFaultProxy, type FaultPlan, type FaultProxy } from '@holdfast/testing/fault-proxy';
import { onTestFinished } from 'vitest';

import { createClient, type ClientOptions, type HoldfastClient, type Readable } from '../src/index.ts';
import { nodeTransport } from '../src/node/index.ts';

export const TOKEN = 'hf_root_of_the_tests';

export interface Stand {
  readonly proxy: FaultProxy;
  /** What the proxy does to connections from now on. */
  plan: (connection: number) => FaultPlan;
  client(options?: Partial<ClientOptions>): HoldfastClient;
}

export async function openStand(): Promise<Stand> {
  const gateway = await startGateway(
    configOf({ port: 0, store: { kind: 'memory' }, token: TOKEN, log: 'silent', drainMs: 100 }),
  );
  let stand: Stand | undefined;
  const plan = (connection: number): FaultPlan => stand?.plan(connection) ?? {};
  const proxy = await startFaultProxy({ target: { port: gateway.port }, plan });
  onTestFinished(async () => {
    await proxy.close();
    await gateway.close();
  });
  const client = (options: Partial<ClientOptions> = {}): HoldfastClient => {
    const made = createClient({
      baseUrl: proxy.origin,
      token: TOKEN,
      transport: nodeTransport(),
      // Pauses are short, so that a test is: the jitter's dice always fall low.
      ports: { random: () => 0.02 },
      ...options,
    });
    onTestFinished(() => made.close());
    return made;
  };
  stand = { proxy, plan: UP, client };
  return stand;
}

/** Resolves with the first state for which this is true; looks at each one that readers are told of. */
export function until<T>(store: Readable<T>, isTrue: (state: T) => boolean): Promise<T> {
  return new Promise((resolve) => {
    const look = (): void => {
      const state = store.getSnapshot();
      if (!isTrue(state)) return;
      end();
      resolve(state);
    };
    const end = store.subscribe(look);
    look();
  });
}

/** Every state that readers are told of, from now on. */
export function record<T>(store: Readable<T>): { readonly states: T[]; end(): void } {
  const states = [store.getSnapshot()];
  return { states, end: store.subscribe(() => states.push(store.getSnapshot())) };
}

/** Nothing for the proxy to forward to: as a network that is not there. */
export const DOWN = (): FaultPlan => ({ answer: { status: 503 } });
export const UP = (): FaultPlan => ({});
