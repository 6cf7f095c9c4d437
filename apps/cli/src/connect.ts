/**
 * Finds the gateway that a command talks to: the one named by flag or environment, else the one that runs on this machine's data
 * directory, whose token only its user can read.
 */
import { createClient, type HoldfastClient } from '@holdfast/client';
import { nodeTransport } from '@holdfast/client/node';
import { readLocalGateway } from '@holdfast/gateway';
import { fault, FaultError } from '@holdfast/protocol';
import { readConfig } from './config.ts';

export interface ConnectOptions {
  readonly url?: string;
  readonly token?: string;
}

export interface Gateway {
  readonly url: string;
  readonly token: string | undefined;
}

/** @throws FaultError with the cure where there is none */
export async function findGateway({ url, token }: ConnectOptions): Promise<Gateway> {
  if (url !== undefined) return { url: url.replace(/\/+$/, ''), token };
  const { data } = readConfig();
  const local = await readLocalGateway(data);
  if (local === undefined) {
    throw new FaultError(
      fault(
        'disconnected',
        `No gateway runs on ${data}. Start one with "holdfast serve", or name one with --url and --token.`,
      ),
    );
  }
  return { url: local.url, token: token ?? local.token };
}

export async function connect(options: ConnectOptions): Promise<HoldfastClient> {
  const { url, token } = await findGateway(options);
  return createClient({ baseUrl: url, transport: nodeTransport(), ...(token === undefined ? {} : { token }) });
}

/** One request and its JSON; @throws FaultError what the gateway says against it */
export async function call(client: HoldfastClient, method: string, path: string, json?: unknown): Promise<unknown> {
  const answer = await client.call(method, path, json);
  if (answer.kind === 'ok') return answer.body;
  throw new FaultError(answer.fault);
}

/** Runs with a client, and closes it whatever happens. */
export async function withClient(
  options: ConnectOptions,
  run: (client: HoldfastClient) => Promise<void>,
): Promise<void> {
  const client = await connect(options);
  try {
    await run(client);
  } finally {
    await client.close();
  }
}
