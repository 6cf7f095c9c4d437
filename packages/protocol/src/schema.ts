/**
 * What may come through the door, as zod schemas: parsed once at the gateway's edge, and the source of its OpenAPI document.
 *
 * 1. Request bodies are strict; entries and views are loose: a reader ignores what it does not know (entry rule 4).
 * 2. Each schema is typed by the type it describes: one that drifts from it does not compile.
 * 3. Every text and list of a request has a bound here; the body as a whole has the gateway's.
 *
 * Only servers import this sub-path: zod alone is twice the client's budget.
 */
export * from './schema-entry.ts';
export * from './schema-piece.ts';
export * from './schema-request.ts';
export * from './schema-view.ts';
