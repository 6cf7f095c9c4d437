/**
 * The log of operations: JSON lines by pino.
 *
 * 1. No secret is ever in a line: no header, body, query or URL is logged at all, only routes, ids, numbers and faults.
 *    The redaction below is the second lock, for what somebody adds later without thinking.
 */
import { destination as openDestination, pino, type DestinationStream, type Logger as PinoLogger } from 'pino';
import type { Config } from './config-table.ts';

export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error'>;

const SECRETS = [
  'authorization',
  'cookie',
  'set-cookie',
  'token',
  'accessToken',
  'refreshToken',
  'code',
  'key',
  'secret',
  'password',
  'url',
];

/** To stderr: stdout is for the line that says where the gateway is. */
export function createLogger(level: Config['log'], destination: DestinationStream = openDestination(2)): Logger {
  const options = {
    level,
    base: null,
    redact: { paths: SECRETS.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`]), censor: '[secret]' },
  };
  return pino(options, destination);
}

/** Text that may hold a secret (an error of somebody else's): what looks like one is cut out. */
export const withoutSecrets = (text: string): string =>
  text
    .replaceAll(/\bhf_[\w-]{8,}/g, '[secret]')
    .replaceAll(/(\w+:\/\/[^\s:/@]+):[^\s@/]+@/g, '$1:[secret]@')
    .replaceAll(/\b(Bearer|sk-)\s*[\w.-]{8,}/gi, '$1 [secret]');
