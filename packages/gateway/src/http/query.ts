/**
 * A request's query parameters: those that the route knows, each once (R83).
 *
 * A parameter that is ignored looks like one that worked: `?limti=5` would list fifty sessions, and of two cursors one would count.
 */
import { z } from 'zod';
import { fault, type Fault } from '@holdfast/protocol';
import { nearest } from '../config-field.ts';
import type { Route } from './route.ts';

const SHOWN_MAX = 100;

/** @returns undefined if each parameter is one of the route's and stands once */
export function queryRefusal(
  { path, query }: Pick<Route, 'path' | 'query'>,
  given: Readonly<Record<string, readonly string[]>>,
): Fault | undefined {
  const known = queryNames(query);
  for (const [name, values] of Object.entries(given)) {
    const shown = name.slice(0, SHOWN_MAX);
    if (!known.includes(name))
      return fault('invalid-request', `query.${shown}: ${path} has no such parameter. ${hint(shown, known)}`);
    if (values.length > 1)
      return fault('invalid-request', `query.${shown}: it is given ${values.length} times. Give it once.`);
  }
  return undefined;
}

export function queryNames(query: z.ZodType | undefined): readonly string[] {
  return query instanceof z.ZodObject ? Object.keys(query.shape) : [];
}

function hint(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  if (meant !== undefined) return `Did you mean ${meant}?`;
  return known.length === 0 ? 'It takes none.' : `There are: ${known.join(', ')}.`;
}
