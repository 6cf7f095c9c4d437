/**
 * A TCP proxy that breaks connections the way networks do: real sockets, so that what is tested is what will happen.
 *
 * Stages: a connection comes → its plan is asked → the proxy answers by itself, or connects to the target, waits, and
 * forwards both ways → the answer's bytes are slowed and counted → at its cut the plan strikes.
 *
 * 1. A plan is for one connection and for the target's bytes; what the client sends goes through as it is, until the strike.
 * 2. Every byte before the cut is written before the strike; none after it.
 * 3. Back-pressure goes through: a slow reader stops the target.
 * 4. `close` ends every connection, stalled ones too, and every timer.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export interface FaultPlan {
  /** Answer with this instead of connecting. The connection is closed after it. */
  readonly answer?: { readonly status: 401 | 429 | 502 | 503; readonly headers?: Readonly<Record<string, string>> };
  /** Before the target is connected. */
  readonly delayMs?: number;
  /** The answer goes out byte by byte, each a packet of its own. */
  readonly trickle?: boolean;
  readonly bytesPerSecond?: number;
  /** When the target has been forwarded this far, strike. 0: before the headers. */
  readonly cut?: {
    readonly afterBytes: number;
    /** `anywhere`: right there. Otherwise at the next place inside a `data` line, or inside a character. */
    readonly where?: 'anywhere' | 'in-frame' | 'in-character';
    /**
     * `reset`: RST. `close`: FIN, as a server that means it. `stall`: half open; nothing moves any more and nobody says so.
     */
    readonly how: 'reset' | 'close' | 'stall';
  };
}

export interface FaultProxy {
  readonly port: number;
  readonly origin: string;
  /** Connections so far. */
  readonly accepted: number;
  /** Connections that are open now. */
  readonly open: number;
  /** Cuts that have struck so far. */
  readonly strikes: number;
  /** Resets everything that is open now. */
  cutAll(): void;
  close(): Promise<void>;
}

export interface FaultProxyOptions {
  readonly target: { readonly host?: string; readonly port: number };
  /** Asked for each connection, counted from 0. */
  readonly plan?: (connection: number) => FaultPlan;
  readonly onStrike?: () => void;
}

export async function startFaultProxy({ target, plan = () => ({}), onStrike }: FaultProxyOptions): Promise<FaultProxy> {
  const passages = new Map<Passage, Promise<void>>();
  let accepted = 0;
  let strikes = 0;
  const server: Server = createServer({ noDelay: true }, (client) => {
    const passage = new Passage(client, plan(accepted++), () => {
      strikes++;
      onStrike?.();
    });
    passages.set(
      passage,
      passage.run(target).finally(() => passages.delete(passage)),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const cutAll = (): void => passages.forEach((_run, passage) => passage.reset());
  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    get accepted() {
      return accepted;
    },
    get open() {
      return passages.size;
    },
    get strikes() {
      return strikes;
    },
    cutAll,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      cutAll();
      await Promise.all(passages.values());
      await closed;
    },
  };
}

/** One connection on its way. */
class Passage {
  readonly #client: Socket;
  readonly #plan: FaultPlan;
  readonly #onStrike: () => void;
  readonly #ended = new AbortController();
  #target: Socket | undefined;

  constructor(client: Socket, plan: FaultPlan, onStrike: () => void) {
    this.#client = client;
    this.#plan = plan;
    this.#onStrike = onStrike;
    // Both ends may fail at any time: that is what this is for.
    client.on('error', () => {});
    client.on('close', () => this.#end());
  }

  /** Resolves when nothing of it is left. */
  async run(target: { readonly host?: string; readonly port: number }): Promise<void> {
    try {
      const { answer, delayMs, cut } = this.#plan;
      if (answer !== undefined) return await this.#answer(answer);
      if (delayMs !== undefined) await this.#pause(delayMs);
      if (this.#ended.signal.aborted) return;
      if (cut?.afterBytes === 0 && (cut.where ?? 'anywhere') === 'anywhere') {
        await this.#request();
        return await this.#strike(cut.how);
      }
      this.#target = connect({ host: target.host ?? '127.0.0.1', port: target.port, noDelay: true });
      this.#target.on('error', () => {});
      this.#client.pipe(this.#target);
      await this.#forward(this.#target);
    } catch {
      // A socket that died under the proxy: as good as a cut.
    } finally {
      this.reset();
    }
  }

  reset(): void {
    if (!this.#client.destroyed) this.#client.resetAndDestroy();
    this.#end();
  }

  #end(): void {
    this.#target?.destroy();
    this.#ended.abort();
  }

  async #forward(target: Socket): Promise<void> {
    const { cut } = this.#plan;
    const cutter = cut === undefined ? undefined : new Cutter(cut.afterBytes, cut.where ?? 'anywhere');
    for await (const chunk of target as AsyncIterable<Buffer>) {
      const at = cutter?.find(chunk) ?? -1;
      await this.#write(at === -1 ? chunk : chunk.subarray(0, at));
      if (cut !== undefined && at !== -1) return this.#strike(cut.how);
    }
    await this.#finish();
  }

  async #write(bytes: Buffer): Promise<void> {
    const { trickle, bytesPerSecond } = this.#plan;
    const step = trickle ? 1 : bytesPerSecond === undefined ? bytes.length : Math.ceil(bytesPerSecond / 50);
    for (let at = 0; at < bytes.length; at += step) {
      const piece = bytes.subarray(at, at + step);
      await new Promise<void>((resolve, reject) =>
        this.#client.write(piece, (error) => (error ? reject(error) : resolve())),
      );
      if (bytesPerSecond !== undefined) await this.#pause((piece.length / bytesPerSecond) * 1000);
      else if (trickle) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async #strike(how: 'reset' | 'close' | 'stall'): Promise<void> {
    this.#onStrike();
    if (how === 'reset') return this.reset();
    if (how === 'close') return this.#finish();
    this.#client.unpipe();
    this.#client.pause();
    this.#target?.pause();
    await this.#gone();
  }

  /** FIN, and no reset as long as the other side reads. */
  async #finish(): Promise<void> {
    this.#client.unpipe();
    this.#client.resume();
    this.#client.end();
    await this.#gone();
  }

  /** The head of the request is read first: a server that closes before would be a lost connection. */
  async #answer({ status, headers = {} }: NonNullable<FaultPlan['answer']>): Promise<void> {
    await this.#request();
    const lines = Object.entries({ 'content-length': '0', connection: 'close', ...headers });
    this.#client.write(
      `HTTP/1.1 ${status} Fault\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
    );
    await this.#finish();
  }

  #request(): Promise<void> {
    let head = '';
    return new Promise((resolve) => {
      const onData = (chunk: Buffer): void => {
        head += chunk.toString('latin1');
        if (!head.includes('\r\n\r\n')) return;
        this.#client.off('data', onData);
        resolve();
      };
      this.#client.on('data', onData);
      this.#ended.signal.addEventListener('abort', () => resolve());
    });
  }

  #gone(): Promise<void> {
    const { signal } = this.#ended;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
  }

  #pause(delayMs: number): Promise<void> {
    const { signal } = this.#ended;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

/** Finds the place of the cut in what goes by. */
class Cutter {
  readonly #where: 'anywhere' | 'in-frame' | 'in-character';
  #left: number;
  /** How much of `data: ` and one character after it has been seen. */
  #matched = 0;

  constructor(afterBytes: number, where: 'anywhere' | 'in-frame' | 'in-character') {
    this.#left = afterBytes;
    this.#where = where;
  }

  /** @returns how many bytes of the chunk go through, or -1: all of them, and the cut is still to come. */
  find(chunk: Buffer): number {
    const from = Math.min(this.#left, chunk.length);
    this.#left -= from;
    if (this.#left > 0) return -1;
    if (this.#where === 'anywhere') return from;
    for (let i = from; i < chunk.length; i++) if (this.#isPlace(chunk[i] as number)) return i;
    return -1;
  }

  #isPlace(byte: number): boolean {
    if (this.#where === 'in-character') return (byte & 0xc0) === 0x80;
    if (this.#matched === MARK.length) return true;
    this.#matched = byte === MARK.charCodeAt(this.#matched) ? this.#matched + 1 : byte === MARK.charCodeAt(0) ? 1 : 0;
    return false;
  }
}

const MARK = 'data: {';
