/**
 * The OpenAPI 3.1 document, made of the same table that is served.
 */
import type { OpenAPIHono, RouteConfig } from '@hono/zod-openapi';
import type { Env } from 'hono';
import { z } from 'zod';
import { entrySchemas, problemSchema } from '@holdfast/protocol/schema';
import { PARAM_SCHEMAS, paramNamesOf, type Route } from './route.ts';

const PROBLEM = { description: 'A fault', content: { 'application/problem+json': { schema: problemSchema } } };

export function describeRoute({ method, path, right, docs, query, body, rawBody }: Route): RouteConfig {
  const params = z.object(Object.fromEntries(paramNamesOf(path).map((name) => [name, PARAM_SCHEMAS[name]])));
  const content =
    rawBody === true
      ? { 'application/octet-stream': { schema: z.string().meta({ format: 'binary' }) } }
      : { 'application/json': { schema: body ?? z.object({}) } };
  return {
    method,
    path,
    summary: docs.summary,
    tags: [path.split('/')[2] ?? 'operations'],
    security: right === 'open' ? [] : [{ bearer: [right] }, { cookie: [right] }],
    request: {
      params,
      ...(query === undefined ? {} : { query: query as z.ZodObject }),
      ...(body === undefined && rawBody !== true ? {} : { body: { content } }),
    },
    responses: { ...responsesOf(docs.replies), default: PROBLEM },
  };
}

function responsesOf(replies: Route['docs']['replies']): RouteConfig['responses'] {
  return Object.fromEntries(
    Object.entries(replies).map(([status, { about, schema, mediaType }]) => [
      status,
      {
        description: about,
        ...(schema === undefined && mediaType === undefined
          ? {}
          : { content: { [mediaType ?? 'application/json']: { schema: schema ?? z.string() } } }),
      },
    ]),
  );
}

/** Once, before the first document. */
export function describeCommons<E extends Env>(hono: OpenAPIHono<E>): void {
  const { openAPIRegistry } = hono;
  openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' });
  openAPIRegistry.registerComponent('securitySchemes', 'cookie', {
    type: 'apiKey',
    in: 'cookie',
    name: 'holdfast_PORT',
  });
  for (const [type, schema] of Object.entries(entrySchemas)) openAPIRegistry.register(`Entry.${type}`, schema);
}

export const documentOf = <E extends Env>(hono: OpenAPIHono<E>, version: string): object =>
  hono.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Holdfast',
      version,
      description:
        'A streaming runtime for conversations with AI agents. Streams are server-sent events: `id` is a cursor, `event` the type of an entry, `data` the entry.',
    },
  });
