import { expect, test } from 'vitest';
import { faultOfError, isConnectionError } from './refusal.ts';

const coded = (code: string, message: string = ''): Error => Object.assign(new Error(message), { code });

test.each([
  ['EPIPE', true],
  ['ECONNRESET', true],
  ['57P01', true],
  ['25006', true],
  ['23505', false],
  ['XX000', false],
])('%s: the connection failed, and not what was asked of it: %s', (code, isConnection) => {
  expect(isConnectionError(coded(code))).toBe(isConnection);
});

test('whoever asks a gateway is not told where its database is', () => {
  const lost = coded('ECONNREFUSED', 'connect ECONNREFUSED 10.1.2.3:5432');
  expect(faultOfError(lost).detail).not.toContain('10.1.2.3');
});
