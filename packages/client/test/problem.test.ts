/** What is made of an answer that is no success. */
import { expect, test } from 'vitest';

import { faultOfAnswer } from '../src/problem.ts';

const answer = (status: number, body: unknown, retryAfter: string | null = null): ReturnType<typeof faultOfAnswer> =>
  faultOfAnswer({
    status,
    headers: { get: () => retryAfter },
    text: typeof body === 'string' ? body : JSON.stringify(body),
  });

test('the gateway’s own word is taken, with its advice and its facts', () => {
  const facts = { outcome: 'answered' };
  const problem = { fault: 'prompt-closed', detail: 'It was answered.', retryAfterMs: 5, facts };
  expect(answer(409, problem)).toEqual({ kind: 'prompt-closed', detail: 'It was answered.', retryAfterMs: 5, facts });
  expect(answer(429, { fault: 'queue-full', detail: 'full' })).toEqual({ kind: 'queue-full', detail: 'full' });
});

test('what the gateway does not do is told in its words, and is not tried again', () => {
  expect(answer(501, { fault: 'terminals-off', detail: 'off' }).kind).toBe('terminals-off');
  expect(answer(501, { fault: 'btw-unsupported', detail: 'none' }).kind).toBe('btw-unsupported');
});

test('a kind of a newer gateway: its name where nothing helps, its status where a retry or a sign-in may', () => {
  expect(answer(409, { fault: 'not-known-yet', detail: 'new' }).kind).toBe('not-known-yet');
  expect(answer(503, { fault: 'not-known-yet', detail: 'new' }).kind).toBe('disconnected');
  expect(answer(401, { fault: 'not-known-yet', detail: 'new' }).kind).toBe('unauthorized');
});

test('what a proxy says is read by its status, whatever its body looks like', () => {
  expect(answer(502, '<html>Bad gateway</html>').kind).toBe('disconnected');
  expect(answer(500, 'null').kind).toBe('internal');
  expect(answer(418, '').kind).toBe('invalid-request');
  expect(answer(413, '<html>').kind).toBe('invalid-request');
  expect(answer(429, '', '7')).toMatchObject({ kind: 'rate-limited', retryAfterMs: 7_000 });
});

test('E4: a redirect, a 403 or a 404 of a proxy says nothing of the gateway’s sessions and routes: it is a lost connection', () => {
  for (const status of [0, 302, 403, 404]) {
    expect(answer(status, '<html>Sign in to the Wi-Fi</html>').kind).toBe('disconnected');
    expect(answer(status, { fault: { faultstring: 'no route' } }).kind).toBe('disconnected');
  }
  expect(answer(403, { fault: 'forbidden', detail: 'not yours' }).kind).toBe('forbidden');
  expect(answer(404, { fault: 'not-known-yet', detail: 'new' }).kind).toBe('not-known-yet');
});
