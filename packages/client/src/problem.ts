/** What a response that is no success means: its problem details (RFC 9457), or the best reading of its status. */
import { fault, retryOf, type Fault, type FaultKind, type Problem } from '@holdfast/protocol/fault';

import { ERROR_BYTES_MAX, type WholeAnswer } from './ask.ts';
import type { ByteStreamResponse } from './byte-stream.ts';

/** Reads the body (at most 64 KiB of it) and ends it. Never rejects. */
export async function faultOfResponse({ status, headers, body }: ByteStreamResponse): Promise<Fault> {
  return faultOfAnswer({ status, headers, text: await body.text(ERROR_BYTES_MAX).catch(() => '') });
}

/** The cure of a wrong address. */
export const NO_GATEWAY = (url: string = 'The URL'): string =>
  `${url} is not answered by a gateway. Check baseUrl and its path prefix.`;

/** Heeds `Retry-After` in seconds. */
export function faultOfAnswer({ status, headers, text }: WholeAnswer, url?: string): Fault {
  const problem = parseProblem(text);
  const byStatus = kindOfStatus(status);
  const named = typeof problem.fault === 'string' ? problem.fault : isBetween(status) ? 'disconnected' : byStatus;
  // A kind without advice under a status that has some is one of a newer gateway's.
  const kind = retryOf(named) === 'no' && retryOf(byStatus) !== 'no' ? byStatus : named;
  const retryAfterMs = problem.retryAfterMs ?? retryAfterMsOf(headers.get('retry-after'));
  return fault(kind, problem.detail ?? `${NO_GATEWAY(url)} (Status ${status}.)`, {
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(problem.facts === undefined ? {} : { facts: problem.facts }),
  });
}

function parseProblem(text: string): Partial<Problem> {
  try {
    // `null`, a number, a text: an object all the same, of which nothing is said.
    return Object(JSON.parse(text)) as Partial<Problem>;
  } catch {
    return {};
  }
}

function kindOfStatus(status: number): FaultKind {
  switch (status) {
    case 401:
      return 'unauthorized';
    case 410:
      return 'session-deleted';
    case 429:
      return 'rate-limited';
    // A timeout, or a proxy in front of a gateway that is not there.
    case 408:
    case 425:
    case 502:
    case 503:
    case 504:
      return 'disconnected';
    default:
      // 501: no other try helps.
      return status >= 500 && status !== 501 ? 'internal' : 'invalid-request';
  }
}

/**
 * A captive portal's redirect (status 0 where the platform hides it), the 403 of a filter, the 404 of a balancer whose gateway is being
 * replaced: without a word of the gateway's they say nothing of it, and are gone some time.
 */
const isBetween = (status: number): boolean => status < 400 || status === 403 || status === 404;

/** Seconds, as gateways send them; a date would need the server's clock. */
function retryAfterMsOf(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}
