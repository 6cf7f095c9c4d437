/** `holdfast token`: a token is shown once, when it is made. */
import { fault, FaultError } from '@holdfast/protocol';
import { call, withClient, type ConnectOptions } from './connect.ts';

interface CreateOptions extends ConnectOptions {
  readonly subject: string;
  readonly scopes: string;
  readonly label?: string;
  readonly expires?: string;
}

export async function createToken(options: CreateOptions): Promise<void> {
  const { subject, scopes, label, expires } = options;
  const expiresInS = expires === undefined ? undefined : Number(expires);
  if (expiresInS !== undefined && !(Number.isInteger(expiresInS) && expiresInS > 0)) {
    throw new FaultError(fault('invalid-request', `--expires is "${expires}"; it is a whole number of seconds.`));
  }
  await withClient(options, async (client) => {
    const body = {
      subject,
      scopes: scopes.split(',').map((scope) => scope.trim()),
      ...(label === undefined ? {} : { label }),
      ...(expiresInS === undefined ? {} : { expiresInS }),
    };
    const issued = (await call(client, 'POST', '/v1/tokens', body)) as { readonly accessToken: string };
    process.stdout.write(`${issued.accessToken}\n`);
  });
}

interface Grant {
  readonly tokenId: string;
  readonly subject: string;
  readonly scopes: readonly string[];
  readonly kind: string;
  readonly label?: string;
  readonly expiresAt: string | null;
}

export async function listTokens(options: ConnectOptions): Promise<void> {
  await withClient(options, async (client) => {
    const { tokens } = (await call(client, 'GET', '/v1/tokens')) as { readonly tokens: readonly Grant[] };
    for (const { tokenId, subject, scopes, kind, label, expiresAt } of tokens) {
      process.stdout.write(
        `${tokenId}  ${subject}  ${scopes.join(',')}  ${kind}  ${expiresAt === null ? 'for ever' : `until ${expiresAt}`}${label === undefined ? '' : `  ${label}`}\n`,
      );
    }
  });
}

export async function revokeToken(id: string, options: ConnectOptions): Promise<void> {
  await withClient(options, async (client) => {
    await call(client, 'DELETE', `/v1/tokens/${encodeURIComponent(id)}`);
    process.stdout.write(`revoked ${id}\n`);
  });
}

export async function printLink(options: ConnectOptions): Promise<void> {
  await withClient(options, async (client) => {
    const { url } = (await call(client, 'POST', '/v1/tokens/link')) as { readonly url: string };
    process.stdout.write(`${url}\n`);
  });
}
