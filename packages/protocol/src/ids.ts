/**
 * Branded ids. An id is opaque to everybody but the one who made it; the brand keeps a turn's id from being handed to
 * something that wants a prompt's.
 *
 * 1. Every id on the wire matches `ID_PATTERN`: it needs no escaping in a URL, a log line or a file name.
 * 2. A turn is named after the command that caused it and its answer after the turn, so all three are known as soon as
 *    the command is durable, on any node, and a turn that is started again keeps its names.
 */

export type SessionId = string & { readonly brand: 'SessionId' };
export type MessageId = string & { readonly brand: 'MessageId' };
export type TurnId = string & { readonly brand: 'TurnId' };
export type PromptId = string & { readonly brand: 'PromptId' };
export type ToolId = string & { readonly brand: 'ToolId' };
export type BtwId = string & { readonly brand: 'BtwId' };
/** Chosen by the client, once for each command: the idempotency key of that command for the session's life. */
export type ClientId = string & { readonly brand: 'ClientId' };

type Id = SessionId | MessageId | TurnId | PromptId | ToolId | BtwId | ClientId;

export const ID_PATTERN: RegExp = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/;

/** @returns the text as an id of the wanted kind, or undefined where it cannot be one. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller says which id it expects
export function parseId<T extends Id>(text: string): T | undefined {
  return ID_PATTERN.test(text) ? (text as T) : undefined;
}

const suffix = (id: string): string => id.slice(id.indexOf('_') + 1);

/** The turn that a message (or a `regenerate` command) starts: rule 2. */
export const turnIdOf = (messageId: MessageId): TurnId => `t_${suffix(messageId)}` as TurnId;

/** The assistant's message of a turn: one id from the first token to the settled message. */
export const answerIdOf = (turnId: TurnId): MessageId => `a_${suffix(turnId)}` as MessageId;

/** The n-th prompt that a turn opens, counted from 1. */
export const promptIdOf = (turnId: TurnId, n: number): PromptId => `p_${suffix(turnId)}_${n}` as PromptId;

/** The n-th tool call of a turn, counted from 1. */
export const toolIdOf = (turnId: TurnId, n: number): ToolId => `x_${suffix(turnId)}_${n}` as ToolId;
