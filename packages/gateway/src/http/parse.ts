/**
 * Parsing at the door: path, query and body become typed values, or one fault that says what is wrong where.
 */
import type { z } from 'zod';
import { fault, type Fault } from '@holdfast/protocol';
import { PARAM_SCHEMAS, paramNamesOf } from './route.ts';

export type Parsed =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'fault'; readonly fault: Fault };

/** How many mistakes one fault tells. */
const ISSUES_MAX = 8;

export function parseParams(path: string, read: (name: string) => string | undefined): Parsed {
  const values: Record<string, unknown> = {};
  for (const name of paramNamesOf(path)) {
    const parsed = PARAM_SCHEMAS[name].safeParse(read(name));
    if (!parsed.success) return { kind: 'fault', fault: faultOf(name, parsed.error) };
    values[name] = parsed.data;
  }
  return { kind: 'value', value: values };
}

export function parseWith(schema: z.ZodType | undefined, what: 'query' | 'body', value: unknown): Parsed {
  if (schema === undefined) return { kind: 'value', value: undefined };
  const parsed = schema.safeParse(value);
  return parsed.success ? { kind: 'value', value: parsed.data } : { kind: 'fault', fault: faultOf(what, parsed.error) };
}

function faultOf(what: string, error: z.ZodError): Fault {
  const issues = error.issues
    .slice(0, ISSUES_MAX)
    .map(({ path, message }) => ({ at: [what, ...path.map(String)].join('.'), message }));
  const told = issues.map(({ at, message }) => `${at}: ${message}`).join('; ');
  return fault('invalid-request', `${told}.`, { facts: { issues } });
}
