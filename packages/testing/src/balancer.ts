/**
 * A small TCP balancer: each connection goes to the next of its targets, or to the one after it where nobody listens. Before
 * gateways it spreads their clients; before a database, with one target, it is the address that outlives a failover and the wire
 * that can go silent.
 *
 * 1. It knows nothing of what it carries, and moves no connection that is open.
 * 2. Silent means half open: nothing moves on any connection, new ones included, and nobody is told, not even that the other end
 *    is gone. What was sent meanwhile arrives when the silence ends, late.
 * 3. An end that fails resets the other.
 * 4. `close` ends every connection, silent ones too.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Balancer {
  readonly port: number;
  readonly origin: string;
  /** Connections that are open now. */
  readonly open: number;
  /** New connections go to these ports, in turn. With none they wait, as in front of a host that does not answer. */
  route(ports: readonly number[]): void;
  /** Resets everything that is open now. */
  cutAll(): void;
  /** Rule 2, until `speak`. */
  silence(): void;
  speak(): void;
  close(): Promise<void>;
}

export async function startBalancer(targets: readonly number[]): Promise<Balancer> {
  const passages = new Set<Passage>();
  let ports = targets;
  let next = 0;
  let silent = false;
  const inTurn = (): readonly number[] => {
    const from = ports.length === 0 ? 0 : next++ % ports.length;
    return [...ports.slice(from), ...ports.slice(0, from)];
  };
  const start = (passage: Passage): void => {
    if (!silent && ports.length > 0) passage.connect(inTurn());
  };
  const server = createServer({ noDelay: true, pauseOnConnect: true, allowHalfOpen: true }, (client) => {
    const passage = new Passage(client, () => passages.delete(passage));
    passages.add(passage);
    start(passage);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const startWaiting = (): void => passages.forEach((passage) => (passage.isWaiting ? start(passage) : undefined));
  const cutAll = (): void => passages.forEach((passage) => passage.reset());
  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    get open() {
      return passages.size;
    },
    route(to) {
      ports = to;
      startWaiting();
    },
    cutAll,
    silence() {
      silent = true;
      for (const passage of passages) passage.silence();
    },
    speak() {
      silent = false;
      for (const passage of passages) passage.speak();
      startWaiting();
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      cutAll();
      await closed;
    },
  };
}

/** One connection on its way. */
class Passage {
  readonly #client: Socket;
  readonly #onGone: () => void;
  #target: Socket | undefined;
  #silent = false;
  #failed = false;

  constructor(client: Socket, onGone: () => void) {
    this.#client = client;
    this.#onGone = onGone;
    this.#watch(client);
  }

  get isWaiting(): boolean {
    return this.#target === undefined && !this.#failed;
  }

  connect([port, ...others]: readonly number[]): void {
    if (port === undefined) return this.reset();
    const target = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true });
    this.#target = target;
    const elsewhere = (): void => this.connect(others);
    target.once('error', elsewhere);
    target.once('connect', () => {
      target.off('error', elsewhere);
      this.#watch(target);
      if (!this.#silent) this.speak();
    });
  }

  speak(): void {
    this.#silent = false;
    if (this.#failed) return this.reset();
    if (this.#target?.readyState !== 'open') return;
    this.#client.pipe(this.#target);
    this.#target.pipe(this.#client);
  }

  silence(): void {
    this.#silent = true;
    for (const socket of [this.#client, this.#target]) socket?.unpipe().pause();
  }

  reset(): void {
    for (const socket of [this.#client, this.#target]) if (socket?.destroyed === false) socket.resetAndDestroy();
    this.#onGone();
  }

  #watch(socket: Socket): void {
    socket.on('error', () => this.#fail());
    // An orderly end has gone through both ways before this, and there is nothing left to tell.
    socket.on('close', (hadError) => (hadError ? this.#fail() : this.#finish()));
  }

  /** Rules 2 and 3. */
  #fail(): void {
    this.#failed = true;
    if (!this.#silent) this.reset();
  }

  #finish(): void {
    if (this.#silent) return this.#fail();
    this.#client.destroy();
    this.#target?.destroy();
    this.#onGone();
  }
}
