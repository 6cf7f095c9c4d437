/**
 * A gateway in memory, for the tests of whoever builds on the client: the same fold, the same wire, no network.
 *
 *   const gateway = createTestGateway({ script: ({ text }) => `You said ${text}.` });
 *   const client = createClient({ baseUrl: 'http://test', transport: gateway.transport });
 *
 * Stages: a request is routed → a command is appended to its session's log → the script's run appends what it answers → every
 * stream of that session gets each entry as the frame that a real gateway would send.
 *
 * 1. It keeps what a client may rely on: seqs without holes, cursors that name a record, receipts by client id, results as
 *    the fold has them. It knows no tokens, no limits and no second process.
 * 2. Faults are on request: `drop()` loses every connection, `offline` refuses new ones, `losesNextAnswer` takes a command and
 *    loses its response, `streamsRefused` and `forgetsTurns` do what they say.
 */
import type { Entry, EntryBody, WhenBusy } from '@holdfast/protocol/entry';
import { fault } from '@holdfast/protocol/fault';
import type { ClientId, MessageId, PromptId, SessionId, ToolId, TurnId } from '@holdfast/protocol/ids';
import { HEARTBEAT_MS, PROTOCOL_VERSION } from '@holdfast/protocol/sse';
import type { Message, View } from '@holdfast/protocol/view';

import { createTransport, type Transport } from '../transport.ts';
import type { WireConnection, WireExchange, WireRequest, WireSink } from '../wire.ts';
import {
  admitted,
  changed,
  closed,
  json,
  page,
  refuse,
  statusOf,
  stopped,
  SUBJECT,
  type Answer,
} from './memory-answers.ts';
import { MemoryBtws, type BtwScript } from './memory-btw.ts';
import { MemoryLog } from './memory-log.ts';
import { startRuns, type Script } from './memory-run.ts';
import { Exchange, Stream } from './memory-stream.ts';

export interface TestGatewayOptions {
  /** What is answered. By default `You said: …`, word by word. */
  readonly script?: Script;
  /** What is answered to a side question. By default `About that: …`. */
  readonly btw?: BtwScript;
}

export interface TestGateway {
  /** Another one each time: a client closes its own. */
  readonly transport: Transport;
  /** New connections are refused while it is set. */
  offline: boolean;
  /** The next POST is done, and its response lost. */
  losesNextAnswer: boolean;
  /** Streams are refused while it is set, requests are not: a proxy that does not let streams through. */
  streamsRefused: boolean;
  /** It knows no turn any more while it is set: a gateway that lost its data. */
  forgetsTurns: boolean;
  /** The view of a session as the gateway has it. */
  view(sessionId: string): View;
  /** Every message of a session, those that have left the view too, oldest first. */
  history(sessionId: string): readonly Message[];
  /** An entry from elsewhere: another device, an agent of yours. */
  append(sessionId: string, body: EntryBody): Entry;
  /** Loses every connection that is open. */
  drop(): void;
  /** Connections that are open: 0 when a client has cleaned up. */
  readonly streams: number;
  /** Every request so far, as `METHOD path`. */
  readonly requests: readonly string[];
}

export function createTestGateway(options: TestGatewayOptions = {}): TestGateway {
  return new MemoryGateway(
    options.script ?? (({ text }) => `You said: ${text}`),
    options.btw ?? ((question) => `About that: ${question}`),
  );
}

/** Of any request. What is not a request of ours is not answered well, and need not be. */
interface Input {
  readonly readSeq?: number;
  readonly sessionId?: SessionId;
  readonly clientId?: ClientId;
  readonly title?: string;
  readonly text?: string;
  readonly question?: string;
  readonly whenBusy?: WhenBusy;
  readonly messageIds?: readonly MessageId[];
  readonly turnId?: TurnId;
  readonly queue?: 'keep' | 'clear';
  readonly answer?: string;
  readonly ok?: boolean;
  readonly output?: string;
  readonly cursors?: Cursors;
  readonly add?: Cursors;
  readonly remove?: readonly string[];
  readonly feed?: number | null;
}
type Cursors = Readonly<Record<string, string | null>>;

interface Session {
  readonly log: MemoryLog;
  readonly btws: MemoryBtws;
  deleted: boolean;
}

class MemoryGateway implements TestGateway {
  offline = false;
  losesNextAnswer = false;
  streamsRefused = false;
  forgetsTurns = false;
  readonly requests: string[] = [];
  readonly #script: Script;
  readonly #btwScript: BtwScript;
  readonly #sessions = new Map<string, Session>();
  readonly #open = new Set<Exchange>();
  readonly #streams = new Map<string, Stream>();
  readonly #feeds = new Map<Stream, (sessionId: string) => void>();
  #revision = 0;

  constructor(script: Script, btwScript: BtwScript) {
    this.#script = script;
    this.#btwScript = btwScript;
  }

  get transport(): Transport {
    const connection: WireConnection = { send: (request, sink) => this.#send(request, sink), close() {} };
    return createTransport({ open: () => connection, short: connection });
  }

  get streams(): number {
    return this.#open.size;
  }

  view(sessionId: string): View {
    return this.#log(sessionId).view;
  }

  history(sessionId: string): readonly Message[] {
    return [...this.#log(sessionId).turns.values()].flatMap(({ messages }) => messages);
  }

  append(sessionId: string, body: EntryBody): Entry {
    return this.#log(sessionId).append(body);
  }

  drop(): void {
    for (const exchange of this.#open) exchange.lose();
  }

  // ── the wire ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #send(request: WireRequest, sink: WireSink): WireExchange {
    const exchange = new Exchange(sink, () => this.#open.delete(exchange));
    queueMicrotask(() => {
      if (exchange.over) return;
      if (this.offline) return exchange.lose();
      const url = new URL(request.url);
      this.requests.push(`${request.method} ${url.pathname}`);
      const answer = this.#route(request, url);
      if (answer.kind === 'json') {
        if (this.losesNextAnswer && request.method === 'POST') {
          this.losesNextAnswer = false;
          return exchange.lose();
        }
        return exchange.answer(answer.status, answer.body);
      }
      if (this.streamsRefused) return exchange.lose();
      this.#open.add(exchange);
      exchange.begin();
      const stream = new Stream(exchange, () => this.#streams.delete(stream.id));
      this.#streams.set(stream.id, stream);
      stream.frame('hello', {
        protocol: PROTOCOL_VERSION,
        build: 'test',
        heartbeatMs: HEARTBEAT_MS * 40,
        streamId: stream.id,
      });
      answer.start(stream);
    });
    return exchange;
  }

  // ── routes ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #route({ method, body }: WireRequest, { pathname, searchParams }: URL): Answer {
    const input = typeof body === 'string' && body !== '' ? (JSON.parse(body) as Input) : {};
    const [, v1, kind, id, ...rest] = pathname.split('/');
    if (v1 !== 'v1') return refuse(fault('route-not-found', `There is no ${pathname}.`));
    if (kind === 'me') return json(200, { subject: SUBJECT, scopes: ['write'] });
    if (kind === 'agents') {
      const agent = { name: 'script', description: 'A test script', resumable: false, default: true, models: null };
      return json(200, { agents: [agent] });
    }
    if (kind === 'events') return id === undefined ? this.#openMany(input) : this.#change(id, input);
    if (kind !== 'sessions') return refuse(fault('route-not-found', `There is no ${pathname}.`));
    if (id === undefined) return method === 'POST' ? this.#create(input) : this.#list(searchParams);
    const session = this.#sessions.get(id);
    if (session === undefined) return refuse(fault('session-not-found', `There is no session ${id}.`));
    if (session.deleted) return refuse(fault('session-deleted', `Session ${id} was deleted.`));
    return this.#ofSession(session, method, rest, input, searchParams);
  }

  #create(input: Input): Answer {
    const { sessionId = 's_test' as SessionId, title } = input;
    const known = this.#sessions.has(sessionId);
    const log = this.#log(sessionId, title);
    return json(known ? 200 : 201, { session: log.summary });
  }

  /** A session is there from its first mention on. */
  #log(id: string, title?: string): MemoryLog {
    const known = this.#sessions.get(id);
    if (known !== undefined) return known.log;
    const sessionId = id as SessionId;
    const log = new MemoryLog(sessionId);
    this.#sessions.set(id, { log, btws: new MemoryBtws(log, this.#btwScript), deleted: false });
    startRuns(log, this.#script);
    log.subscribe(() => this.#tellFeeds(id));
    const clientId = `open_${id}` as ClientId;
    log.submit({
      type: 'session-open',
      clientId,
      author: SUBJECT,
      sessionId,
      ...(title === undefined ? {} : { title }),
    });
    return log;
  }

  #list(query: URLSearchParams): Answer {
    const words = (query.get('q') ?? '').toLowerCase();
    const sessions = [...this.#sessions.values()]
      .filter(({ deleted }) => !deleted)
      .map(({ log }) => log.summary)
      .filter((row) => `${row.title ?? ''} ${row.preview}`.toLowerCase().includes(words))
      .toSorted((a, b) => (a.updatedAt < b.updatedAt ? 1 : -1));
    return json(200, { sessions, next: null, revision: this.#revision });
  }

  #ofSession(session: Session, method: string, rest: readonly string[], input: Input, query: URLSearchParams): Answer {
    const { log, btws } = session;
    const [kind = '', id = '', verb = ''] = rest;
    const command = { clientId: (input.clientId ?? `c_${log.view.seq}`) as ClientId, author: SUBJECT };
    const { text = '' } = input;
    const messageId = `m_${log.sessionId}_${log.view.seq + 1}` as MessageId;
    switch (`${method} ${kind}${verb === '' ? '' : ` ${verb}`}`) {
      case 'GET ':
        return json(200, { session: log.summary, view: log.view, seq: log.view.seq, cursor: log.cursor });
      case 'PATCH ':
        log.submit({ ...input, ...command, type: 'session-set' });
        return json(200, { session: log.summary, seq: log.view.seq });
      case 'POST unread': {
        const ended = log.view.turns.findLast(({ outcome }) => outcome !== null);
        const { readSeq = (ended?.revision ?? 1) - 1 } = input;
        log.submit({ ...command, type: 'mark-unread', readSeq });
        return json(200, { session: log.summary, seq: log.view.seq });
      }
      case 'DELETE ':
        return this.#delete(session);
      case 'GET events':
        return { kind: 'stream', start: (stream) => stream.follow(log, query.get('after'), '') };
      case 'GET messages':
        return page(log, query);
      case 'POST messages': {
        const { whenBusy = 'queue' } = input;
        return admitted(log.submit({ ...input, ...command, type: 'message', messageId, text, whenBusy }));
      }
      case 'PATCH messages':
        return changed(log, log.submit({ ...command, type: 'message-edit', messageId: id as MessageId, text }));
      case 'DELETE messages':
        return changed(log, log.submit({ ...command, type: 'message-withdraw', messageId: id as MessageId }));
      case 'POST messages regenerate': {
        const turnId = [...log.view.messages, ...log.view.offPath].find((message) => message.id === id)?.turnId;
        if (turnId === undefined) return refuse(fault('message-not-found', `There is no message ${id}.`));
        return admitted(log.submit({ ...command, type: 'regenerate', messageId, turnId }));
      }
      case 'PATCH queue': {
        const { messageIds = [] } = input;
        const { verdict, seq, duplicate } = log.submit({ ...command, type: 'queue-order', messageIds });
        return json(200, { messageIds: verdict.kind === 'ordered' ? verdict.messageIds : [], seq, duplicate });
      }
      case 'PATCH branch': {
        const { verdict, seq } = log.submit({
          ...command,
          type: 'branch-switch',
          turnId: input.turnId ?? ('' as TurnId),
        });
        if (verdict.kind === 'void') return refuse(fault('turn-not-found', `There is no turn ${input.turnId}.`));
        return json(200, { leaf: log.view.leaf, seq });
      }
      case 'POST btw':
        return btws.ask(command.clientId, input.question ?? '');
      case 'POST btw keep':
      case 'GET btw':
      case 'DELETE btw':
        return btws.route(method, id, verb, query.get('after'));
      case 'GET turns':
        return this.forgetsTurns
          ? refuse(fault('turn-not-found', `There is no turn ${id}.`))
          : statusOf(log, id as TurnId);
      case 'POST turns stop': {
        const { queue = 'keep' } = input;
        const { verdict } = log.submit({ ...command, type: 'stop', turnId: id as TurnId, queue });
        return stopped(log, id as TurnId, verdict.kind === 'void' ? verdict.reason : verdict.kind);
      }
      case 'POST turns steer':
        return admitted(log.submit({ ...command, type: 'steer', turnId: id as TurnId, messageId, text }));
      case 'POST prompts': {
        const promptId = id as PromptId;
        const { answer = '' } = input;
        const { verdict, seq } = log.submit({ ...command, type: 'prompt-answer', promptId, answer });
        return verdict.kind === 'answered'
          ? json(200, { promptId, result: 'answered', answer, seq })
          : closed(log, promptId);
      }
      case 'POST tools': {
        const result = { toolId: id as ToolId, ok: input.ok === true, output: input.output ?? '' };
        const { verdict } = log.submit({ ...command, type: 'tool-result', ...result });
        return verdict.kind === 'done'
          ? json(200, { result: 'taken' })
          : refuse(fault('turn-ended', 'Nothing waits for it.'));
      }
      default:
        return refuse(fault('route-not-found', `There is no ${method} of ${rest.join('/')} here.`));
    }
  }

  #delete(session: Session): Answer {
    session.deleted = true;
    for (const stream of this.#streams.values()) stream.drop(session.log.sessionId);
    this.#tellFeeds(session.log.sessionId);
    return json(204, undefined);
  }

  // ── many sessions on one stream, and the list ─────────────────────────────────────────────────────────────────────

  #openMany(input: Input): Answer {
    const { cursors = {}, feed } = input;
    return {
      kind: 'stream',
      start: (stream) => {
        if (feed !== undefined) this.#feed(stream, feed ?? 0);
        this.#add(stream, cursors);
      },
    };
  }

  #change(streamId: string, input: Input): Answer {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return refuse(fault('stream-not-found', `There is no stream ${streamId}.`));
    for (const id of input.remove ?? []) stream.end(id);
    if (input.feed !== undefined) this.#feed(stream, input.feed ?? 0);
    this.#add(stream, input.add ?? {});
    return json(200, { lanes: 0 });
  }

  #add(stream: Stream, cursors: Cursors): void {
    for (const [id, cursor] of Object.entries(cursors)) {
      const session = this.#sessions.get(id);
      if (session !== undefined && !session.deleted) stream.follow(session.log, cursor, `${id}/`);
      else stream.refuse(id, session === undefined ? 'session-not-found' : 'session-deleted');
    }
  }

  #feed(stream: Stream, after: number): void {
    const tell = (sessionId: string): void => {
      const session = this.#sessions.get(sessionId);
      if (session === undefined) return;
      const rev = this.#revision;
      const item = session.deleted
        ? { type: 'deleted', rev, sessionId }
        : { type: 'session', rev, summary: session.log.summary };
      stream.frame('feed', item, `feed/${rev}`);
    };
    this.#feeds.set(stream, tell);
    stream.ended(() => this.#feeds.delete(stream));
    if (after < this.#revision) for (const [id, { deleted }] of this.#sessions) if (!deleted || after > 0) tell(id);
  }

  #tellFeeds(sessionId: string): void {
    this.#revision++;
    for (const tell of this.#feeds.values()) tell(sessionId);
  }
}
