/**
 * What the gateway sends, held against the schemas that it says it has: each reply and each frame that any test here gets.
 *
 * A schema drops what it does not know, so a value that is read unchanged has nothing that its schema does not say.
 */
import { entrySchemas, problemSchema, sessionSummarySchema, snapshotSchema } from '@holdfast/protocol/schema';
import { expect } from 'vitest';
import { z } from 'zod';
import type { Route } from '../src/http/route.ts';

const feedSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('session'), rev: z.int(), summary: sessionSummarySchema }),
  z.object({ type: z.literal('deleted'), rev: z.int(), sessionId: z.string(), owner: z.string() }),
  z.object({ type: z.literal('resync') }),
]);
const view = snapshotSchema as z.ZodObject;
const FRAMES: Readonly<Record<string, z.ZodType>> = {
  ...entrySchemas,
  feed: feedSchema,
  snapshot: view.pick({ view: true, cursor: true }).extend({ sessionId: z.string() }),
};

function readUnchanged(what: string, schema: z.ZodType, value: unknown): void {
  expect(schema.safeParse(value), `${what} is not what its schema says: ${JSON.stringify(value)}`).toEqual({
    success: true,
    data: value,
  });
}

export function expectReply(routes: readonly Route[], asked: string, status: number, body: unknown): void {
  if (body === undefined) return;
  const [method = '', target = ''] = asked.split(' ');
  const path = target.split('?')[0] ?? '';
  const route = routes.find((other) => other.method === method.toLowerCase() && patternOf(other).test(path));
  const schema = status >= 400 ? problemSchema : route?.docs.replies[status]?.schema;
  if (schema !== undefined && path.startsWith('/v1/')) readUnchanged(`${asked} ${status}`, schema, body);
}

const patternOf = ({ path }: Route): RegExp => new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`);

export function expectFrame(event: string, data: unknown): void {
  const schema = FRAMES[event];
  if (schema !== undefined) readUnchanged(`A frame ${event}`, schema, data);
}
