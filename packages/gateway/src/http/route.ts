/**
 * A route as a value: its method, path, right, schemas and what it does. The table of all of them is the application, its
 * OpenAPI document and the list that the test of rights goes through: a route that is in no table does not exist.
 *
 * 1. A handler gets parsed values and a principal that may do this; it calls the service and returns a reply.
 * 2. Path parameters are ids of the kinds that their names say.
 */
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import type { BtwId, MessageId, PromptId, SessionId, ToolId, TurnId } from '@holdfast/protocol';
import {
  blobHashSchema,
  btwIdSchema,
  messageIdSchema,
  nameSchema,
  promptIdSchema,
  sessionIdSchema,
  toolIdSchema,
  turnIdSchema,
  type Scope,
} from '@holdfast/protocol/schema';
import type { Principal } from '../auth/principal.ts';
import type { Reply } from './reply.ts';

interface Params {
  readonly sessionId: SessionId;
  readonly messageId: MessageId;
  readonly turnId: TurnId;
  readonly promptId: PromptId;
  readonly toolId: ToolId;
  readonly btwId: BtwId;
  readonly hash: string;
  readonly tokenId: string;
  readonly streamId: string;
  readonly tool: string;
  readonly terminalId: string;
}
export type ParamName = keyof Params;

export const PARAM_SCHEMAS: { readonly [K in ParamName]: z.ZodType<Params[K]> } = {
  sessionId: sessionIdSchema,
  messageId: messageIdSchema,
  turnId: turnIdSchema,
  promptId: promptIdSchema,
  toolId: toolIdSchema,
  btwId: btwIdSchema,
  hash: blobHashSchema,
  tokenId: nameSchema,
  streamId: nameSchema,
  tool: nameSchema,
  terminalId: nameSchema,
};

/** Rule 2. */
export type ParamsOf<Path extends string> = Path extends `${string}{${infer Name extends ParamName}}${infer Rest}`
  ? Pick<Params, Name> & ParamsOf<Rest>
  : object;

export interface Call<P = object, Q = object, B = undefined> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly principal: Principal;
  readonly incoming: IncomingMessage;
  readonly header: (name: string) => string | undefined;
}

/** `open`: anybody may; otherwise the scope that the principal must hold. */
export type Right = Scope | 'open';

export interface RouteDocs {
  readonly summary: string;
  readonly replies: Readonly<
    Record<number, { readonly about: string; readonly schema?: z.ZodType; readonly mediaType?: string }>
  >;
}

export interface Route {
  readonly method: 'get' | 'post' | 'patch' | 'delete';
  readonly path: string;
  readonly right: Right;
  readonly docs: RouteDocs;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** Its body is bytes that the handler reads itself. */
  readonly rawBody?: boolean;
  handle(call: Call<never, never, never>): Promise<Reply>;
}

export interface RouteSpec<Path extends string, Q, B> {
  readonly right: Right;
  readonly docs: RouteDocs;
  readonly query?: z.ZodType<Q>;
  readonly body?: z.ZodType<B>;
  readonly rawBody?: boolean;
  handle(call: Call<ParamsOf<Path>, Q, B>): Promise<Reply>;
}

type Define = <Path extends string, Q = object, B = undefined>(path: Path, spec: RouteSpec<Path, Q, B>) => Route;
export const define =
  (method: Route['method']): Define =>
  (path, spec) => ({ method, path, ...spec });

export const get: Define = define('get');
export const post: Define = define('post');
export const del: Define = define('delete');

export const paramNamesOf = (path: string): readonly ParamName[] =>
  [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as ParamName);
