/**
 * For those who run it: alive, ready, numbers, the interface's description.
 */
import { z } from 'zod';
import type { Context } from '../context.ts';
import { ok } from '../http/reply.ts';
import { get, type Route } from '../http/route.ts';

const aliveSchema = z.object({ alive: z.boolean(), build: z.string() });
const readySchema = z.object({ ready: z.boolean(), why: z.string() });

export function operationRoutes({ metrics, readiness, build }: Context, document: () => object): readonly Route[] {
  return [
    get('/healthz', {
      right: 'open',
      docs: { summary: 'Whether the process is alive', replies: { 200: { about: 'It is', schema: aliveSchema } } },
      handle: () => Promise.resolve(ok({ alive: true, build })),
    }),
    get('/readyz', {
      right: 'open',
      docs: {
        summary: 'Whether it wants traffic',
        replies: {
          200: { about: 'It does', schema: readySchema },
          503: { about: 'It does not, with the reason', schema: readySchema },
        },
      },
      handle: async () => {
        const state = await readiness();
        return state.ready ? ok(state) : { kind: 'unready', body: state };
      },
    }),
    get('/metrics', {
      right: 'admin',
      docs: {
        summary: 'Numbers, for Prometheus',
        replies: { 200: { about: 'Its text format', mediaType: 'text/plain' } },
      },
      handle: async () => ({
        kind: 'text',
        mediaType: 'text/plain; version=0.0.4; charset=utf-8',
        text: await metrics.text(),
      }),
    }),
    get('/openapi.json', {
      right: 'read',
      docs: { summary: 'This interface, as OpenAPI 3.1', replies: { 200: { about: 'The document' } } },
      handle: () => Promise.resolve(ok(document())),
    }),
  ];
}
