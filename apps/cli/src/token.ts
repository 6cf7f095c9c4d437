/** `holdfast token`: a token is shown once, when it is made. */
import { call, withClient, type ConnectOptions } from './connect.ts';
import { badInput } from './failure.ts';
import { json, table } from './text.ts';

export interface CreateTokenOptions extends ConnectOptions {
  readonly subject: string;
  readonly scopes: string;
  readonly label?: string;
  readonly expires?: string;
  readonly refresh: boolean;
  readonly json: boolean;
}

interface Issued {
  readonly accessToken: string;
  readonly refreshToken?: string;
}

export async function createToken(options: CreateTokenOptions): Promise<void> {
  const { subject, scopes, label, expires, refresh } = options;
  const body = {
    subject,
    scopes: scopes.split(',').map((name) => name.trim()),
    ...(label === undefined ? {} : { label }),
    ...(expires === undefined ? {} : { expiresInS: secondsOf(expires) }),
    ...(refresh ? { refresh } : {}),
  };
  const issued = await withClient(options, (client) => call(client, 'POST', '/v1/tokens', body) as Promise<Issued>);
  if (options.json) process.stdout.write(json(issued));
  else
    process.stdout.write(
      `${issued.accessToken}\n${issued.refreshToken === undefined ? '' : `${issued.refreshToken}\n`}`,
    );
}

const UNITS_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

function secondsOf(text: string): number {
  const [, count, unit = 's'] = /^(\d{1,9})([smhd])?$/.exec(text) ?? [];
  const seconds = Number(count) * (UNITS_S[unit] ?? 0);
  if (seconds > 0) return seconds;
  throw badInput(`--expires is '${text}'; it is a number and a unit: 90s, 15m, 12h, 30d.`);
}

interface Grant {
  readonly tokenId: string;
  readonly subject: string;
  readonly scopes: readonly string[];
  readonly kind: string;
  readonly label?: string;
  readonly expiresAt: string | null;
}

export async function listTokens(options: ConnectOptions & { readonly json: boolean }): Promise<void> {
  const { tokens } = (await withClient(options, (client) => call(client, 'GET', '/v1/tokens'))) as {
    readonly tokens: readonly Grant[];
  };
  if (options.json) for (const grant of tokens) process.stdout.write(json(grant));
  else if (tokens.length > 0)
    process.stdout.write(table([['TOKEN', 'SUBJECT', 'SCOPES', 'KIND', 'ENDS', 'LABEL'], ...tokens.map(rowOf)]));
}

const rowOf = ({ tokenId, subject, scopes, kind, label = '', expiresAt }: Grant): readonly string[] => [
  tokenId,
  subject,
  scopes.join(','),
  kind,
  expiresAt === null ? 'never' : expiresAt.slice(0, 16).replace('T', ' '),
  label,
];

export async function revokeToken(id: string, options: ConnectOptions): Promise<void> {
  await withClient(options, (client) => call(client, 'DELETE', `/v1/tokens/${encodeURIComponent(id)}`));
  process.stdout.write(`revoked ${id}\n`);
}

export async function printLink(options: ConnectOptions): Promise<void> {
  const { url } = (await withClient(options, (client) => call(client, 'POST', '/v1/tokens/link'))) as {
    readonly url: string;
  };
  process.stdout.write(`${url}\n`);
}
