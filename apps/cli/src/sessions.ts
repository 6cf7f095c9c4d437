/** `holdfast sessions` and `holdfast export`. */
import { fault, FaultError } from '@holdfast/protocol';
import type { SessionSummary } from '@holdfast/client';
import { call, findGateway, withClient, type ConnectOptions } from './connect.ts';

export async function sessions(
  words: string | undefined,
  options: ConnectOptions & { readonly json: boolean },
): Promise<void> {
  await withClient(options, async (client) => {
    const query = new URLSearchParams({ limit: '100', ...(words === undefined ? {} : { q: words }) });
    const { sessions: found } = (await call(client, 'GET', `/v1/sessions?${query.toString()}`)) as {
      readonly sessions: readonly SessionSummary[];
    };
    for (const session of found) process.stdout.write(options.json ? `${JSON.stringify(session)}\n` : lineOf(session));
  });
}

function lineOf({ sessionId, updatedAt, state, title, unread }: SessionSummary): string {
  return `${sessionId}  ${updatedAt.slice(0, 16).replace('T', ' ')}  ${state.padEnd(7)} ${unread ? '•' : ' '} ${title ?? '(untitled)'}\n`;
}

export async function exportSession(session: string, options: ConnectOptions): Promise<void> {
  const { url, token } = await findGateway(options);
  const response = await fetch(`${url}/v1/sessions/${encodeURIComponent(session)}/export`, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  if (!response.ok || response.body === null) {
    const problem = (await response.json().catch(() => ({}))) as { readonly detail?: string };
    throw new FaultError(fault('session-not-found', problem.detail ?? `The gateway answered ${response.status}.`));
  }
  for await (const chunk of response.body)
    if (!process.stdout.write(chunk)) await new Promise((resolve) => process.stdout.once('drain', resolve));
}
