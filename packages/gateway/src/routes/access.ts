/**
 * The right to a session, and the name of a command: what every session route begins with.
 *
 * 1. Another's session is not there for somebody who is no admin: the answer is the one for a session that never was.
 * 2. A command without a client id gets one: it works, and a retry of it is another command.
 */
import { fault, ID_PATTERN, judge, type ClientId, type Command, type Fault, type SessionId } from '@holdfast/protocol';
import type { SessionService } from '@holdfast/session';
import { isAdmin, type Principal } from '../auth/principal.ts';
import type { CommandBody } from '@holdfast/protocol/schema';
import type { ReadHeader } from '../auth/door.ts';
import { newId } from '../auth/secret.ts';
import { failed, type Reply } from '../http/reply.ts';
import { define, type Call, type ParamsOf, type Route, type RouteSpec } from '../http/route.ts';

const OWNERS_MAX = 10_000;

/** A session's owner never changes, so it is asked for once. */
export class Access {
  readonly #service: SessionService;
  readonly #ownerBySession = new Map<SessionId, string>();

  constructor(service: SessionService) {
    this.#service = service;
  }

  /** @returns undefined where this principal may see the session. */
  async refusal(principal: Principal, sessionId: SessionId): Promise<Fault | undefined> {
    if (isAdmin(principal)) return undefined;
    const owner = this.#ownerBySession.get(sessionId) ?? (await this.#ownerOf(sessionId));
    if (typeof owner === 'object') return owner;
    return owner === principal.subject ? undefined : fault('session-not-found', `There is no session ${sessionId}.`);
  }

  /** A route behind the right to see its session. */
  seen<Path extends string, Q = object, B = undefined>(
    method: Route['method'],
    path: Path,
    spec: RouteSpec<Path, Q, B>,
  ): Route {
    return define(method)<Path, Q, B>(path, {
      ...spec,
      handle: async (call) => {
        const refusal = await this.refusal(call.principal, sessionIdOf(call));
        return refusal === undefined ? spec.handle(call) : failed(refusal);
      },
    });
  }

  /** A route that appends a command: behind the right to see the session, and with the command's name. */
  commanded<Path extends string, B extends CommandBody>(
    method: Route['method'],
    path: Path,
    spec: CommandSpec<Path, B>,
  ): Route {
    return this.seen<Path, object, B>(method, path, {
      ...spec,
      handle: async (call) => {
        const name = commandName(call.body, call.header);
        return isFault(name) ? failed(name) : spec.handle(call, name);
      },
    });
  }

  async #ownerOf(sessionId: SessionId): Promise<string | Fault> {
    const found = await this.#service.ownerOf(sessionId);
    if (found.kind === 'fault') return found.fault;
    if (this.#ownerBySession.size >= OWNERS_MAX) {
      const [oldest] = this.#ownerBySession.keys();
      if (oldest !== undefined) this.#ownerBySession.delete(oldest);
    }
    this.#ownerBySession.set(sessionId, found.owner);
    return found.owner;
  }
}

type CommandSpec<Path extends string, B> = Omit<RouteSpec<Path, object, B>, 'handle'> & {
  handle(call: Call<ParamsOf<Path>, object, B>, name: CommandName): Promise<Reply>;
};

const sessionIdOf = (call: { readonly params: object }): SessionId =>
  (call.params as { readonly sessionId: SessionId }).sessionId;

export interface CommandName {
  readonly clientId: ClientId;
  /** The caller chose it: this may be a retry. */
  readonly given: boolean;
}

export function commandName(body: CommandBody, header: ReadHeader): CommandName | Fault {
  const key = header('idempotency-key');
  if (key === undefined && body.clientId !== undefined) return { clientId: body.clientId, given: true };
  if (key === undefined) return { clientId: newId('c') as ClientId, given: false };
  // The IETF draft writes it as a quoted string; most callers send it bare.
  const bare = key.replace(/^"(.*)"$/, '$1');
  if (body.clientId !== undefined && bare !== body.clientId)
    return fault(
      'invalid-request',
      'Idempotency-Key and body.clientId name this request differently, so a retry could not be told from a new one. Send one of them.',
    );
  if (ID_PATTERN.test(bare)) return { clientId: bare as ClientId, given: true };
  return fault(
    'invalid-request',
    'Idempotency-Key is no id: 1 to 128 of A-Z a-z 0-9 _ . : -, the first a letter or digit.',
  );
}

/** Void as things stand, and without a name of its caller's no retry of what was not: such a command is not appended at all. */
export async function isInVain(
  service: SessionService,
  sessionId: SessionId,
  command: Command,
  { given }: CommandName,
): Promise<boolean> {
  if (given) return false;
  const found = await service.snapshot(sessionId);
  return found.kind === 'ok' && judge(found.view, command).kind === 'void';
}

export const isFault = (value: object): value is Fault => 'detail' in value && 'kind' in value;
