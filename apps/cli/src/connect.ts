/**
 * The gateway that a command talks to: the one that is named by flag or environment, else the one that runs on this
 * machine's data directory, whose address and token stand there in a file that only its user can read.
 */
import { X509Certificate } from 'node:crypto';
import {
  createClient,
  createCredentials,
  type Credentials,
  type HoldfastClient,
  type RefreshOutcome,
  type Transport,
} from '@holdfast/client';
import { nodeTransport } from '@holdfast/client/node';
import { readLocalGateway, type LocalGateway } from '@holdfast/gateway/local';
import { fault, FaultError } from '@holdfast/protocol/fault';
import { readConfig } from './config.ts';
import { badInput } from './failure.ts';

export interface ConnectOptions {
  readonly url?: string;
  readonly token?: string;
}

export interface GatewayAddress {
  /** Without a slash at its end. */
  readonly url: string;
  readonly credentials: Credentials;
  /** A new one, for whoever closes it. */
  readonly transport: () => Transport;
}

/** @throws FaultError with the cure where there is none */
export async function findGateway(options: ConnectOptions): Promise<GatewayAddress> {
  // A variable that is set to nothing names nothing.
  const url = options.url === '' ? undefined : options.url;
  const token = options.token === '' ? undefined : options.token;
  const named = url === undefined ? undefined : checkUrl(url);
  if (named !== undefined && token !== undefined)
    return { url: named, credentials: givenCredentials(named, token), transport: () => nodeTransport() };
  const { data } = readConfig();
  const local = await readLocalGateway(data);
  if (local === undefined && named === undefined)
    throw new FaultError(
      fault(
        'disconnected',
        `No gateway runs on ${data}. Another one is named by --url and --token, or HOLDFAST_URL and HOLDFAST_TOKEN.`,
      ),
    );
  const address = named ?? local?.url ?? '';
  return {
    url: address,
    credentials: token === undefined ? localCredentials(data, address, local) : givenCredentials(address, token),
    transport: () => (local?.url === address ? localTransport(local) : nodeTransport()),
  };
}

/** To the gateway on this machine. It is known by its certificate alone, whatever that says of names and authorities. */
export function localTransport({ cert }: Pick<LocalGateway, 'cert'>): Transport {
  if (cert === undefined) return nodeTransport();
  const known = new X509Certificate(cert);
  return nodeTransport({
    tls: {
      ca: cert,
      allowPartialTrustChain: true,
      checkServerIdentity: (_host, { raw }) =>
        known.raw.equals(raw)
          ? undefined
          : new Error('it shows another certificate than the gateway on this machine has'),
    },
  });
}

const notTaken = (url: string): RefreshOutcome => ({
  kind: 'refused',
  fault: fault('auth-refused', `The gateway at ${url} does not take the token that this command has.`),
});

const givenCredentials = (url: string, token: string): Credentials =>
  createCredentials({ token, refresh: () => Promise.resolve(notTaken(url)) });

/** The gateway's own token, anew at each of its starts: a command that outlives a restart reads it again. */
function localCredentials(data: string, url: string, known: LocalGateway | undefined): Credentials {
  return createCredentials({
    ...(known?.url === url ? { token: known.token } : {}),
    refresh: async (stale) => {
      const now = await readLocalGateway(data);
      if (now?.url === url && now.token !== stale) return { kind: 'renewed', token: now.token };
      return notTaken(url);
    },
  });
}

function checkUrl(url: string): string {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw badInput(`--url is '${url}', which is no address of a gateway. It looks like http://127.0.0.1:7420.`);
  return url.replace(/\/+$/, '');
}

/** Runs with a client, and closes it whatever happens. */
export async function withClient<T>(
  options: ConnectOptions,
  run: (client: HoldfastClient, gateway: GatewayAddress) => Promise<T>,
): Promise<T> {
  const gateway = await findGateway(options);
  const { url, credentials, transport } = gateway;
  const client = createClient({ baseUrl: url, transport: transport(), credentials });
  try {
    return await run(client, gateway);
  } finally {
    await client.close();
  }
}

/** One request and its JSON. @throws FaultError what the gateway says against it */
export async function call(client: HoldfastClient, method: string, path: string, body?: unknown): Promise<unknown> {
  const answer = await client.call(method, path, body);
  if (answer.kind === 'ok') return answer.body;
  throw new FaultError(answer.fault);
}
