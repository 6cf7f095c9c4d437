/**
 * The OpenAPI 3.1 document, made of the same table that is served.
 *
 * 1. A schema is described as what may be sent or come, so a field is required only where leaving it out is refused.
 * 2. What has a name (`meta.id`) is said once, among the components, and referred to from everywhere else.
 */
import { z } from 'zod';
import { entrySchemas, problemSchema } from '@holdfast/protocol/schema';
import { PARAM_SCHEMAS, paramNamesOf, type Route } from './route.ts';

type JsonSchema = z.core.JSONSchema.BaseSchema;
type Components = Record<string, JsonSchema>;

const ABOUT =
  'A streaming runtime for conversations with AI agents. Streams are server-sent events: `id` is a cursor, `event` the type of an entry, `data` the entry.';
const SECURITY_SCHEMES = {
  bearer: { type: 'http', scheme: 'bearer' },
  cookie: { type: 'apiKey', in: 'cookie', name: 'holdfast_PORT' },
};
const BYTES = { '*/*': { schema: { type: 'string', format: 'binary' } } };

export function documentOf(routes: readonly Route[], version: string): object {
  const components: Components = {};
  // Streams are text to a schema: what is in them is described here alone.
  for (const schema of Object.values(entrySchemas)) describe(schema, components);
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method] = operationOf(route, components);
  return {
    openapi: '3.1.0',
    info: { title: 'Holdfast', version, description: ABOUT },
    components: { securitySchemes: SECURITY_SCHEMES, schemas: components },
    paths,
  };
}

function operationOf({ path, right, docs, query, body, rawBody }: Route, components: Components): object {
  return {
    summary: docs.summary,
    tags: [path.split('/')[2] ?? 'operations'],
    security: right === 'open' ? [] : [{ bearer: [right] }, { cookie: [right] }],
    parameters: [
      ...parametersOf(
        'path',
        z.object(Object.fromEntries(paramNamesOf(path).map((name) => [name, PARAM_SCHEMAS[name]]))),
      ),
      ...(query === undefined ? [] : parametersOf('query', query)),
    ],
    ...(rawBody === true ? { requestBody: { content: BYTES } } : {}),
    ...(body === undefined ? {} : { requestBody: bodyOf(body, components) }),
    responses: {
      ...responsesOf(docs.replies, components),
      default: {
        description: 'A fault',
        content: { 'application/problem+json': { schema: describe(problemSchema, components) } },
      },
    },
  };
}

function parametersOf(place: 'path' | 'query', schema: z.ZodType): readonly object[] {
  const { properties = {}, required = [] } = describe(schema, {});
  return Object.entries(properties).map(([name, described]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema: described,
  }));
}

const bodyOf = (body: z.ZodType, components: Components): object => ({
  // Nothing at all is read as `{}`.
  required: !body.safeParse({}).success,
  content: { 'application/json': { schema: describe(body, components) } },
});

function responsesOf(replies: Route['docs']['replies'], components: Components): object {
  return Object.fromEntries(
    Object.entries(replies).map(([status, { about, schema, mediaType }]) => [
      status,
      {
        description: about,
        ...(schema === undefined && mediaType === undefined
          ? {}
          : { content: { [mediaType ?? 'application/json']: { schema: describe(schema ?? z.string(), components) } } }),
      },
    ]),
  );
}

/** Rules 1 and 2. */
function describe(schema: z.ZodType, components: Components): JsonSchema {
  const { $schema: _draft, $defs = {}, ...described } = atComponents(z.toJSONSchema(schema, { io: 'input' }));
  Object.assign(components, $defs);
  return described;
}

const atComponents = (schema: JsonSchema): JsonSchema =>
  JSON.parse(JSON.stringify(schema), (key, value: unknown) =>
    key === '$ref' && typeof value === 'string' ? value.replace('#/$defs/', '#/components/schemas/') : value,
  ) as JsonSchema;
