/** What the browser tests run inside of a page. Bundled by them; nothing else imports it. */
import type { SessionId } from '@holdfast/protocol/ids';

import { systemClock } from '../src/clock.ts';
import { createCredentials } from '../src/credentials.ts';
import { EventStreamClient, type EventStream } from '../src/event-stream.ts';
import { fetchTransport } from '../src/fetch-wire.ts';
import { openByteStream } from '../src/byte-stream.ts';
import { openSharedStream } from '../src/shared-stream.ts';
import { byteStreamCases } from '../src/testing.ts';

const unhandled: string[] = [];
const texts = new Map<string, string>();
addEventListener('unhandledrejection', ({ reason }) => unhandled.push(String(reason)));

const page = {
  /** A stream that nobody holds is collected, and ends. */
  held: [] as EventStream[],

  async runCase(name: string, key: string): Promise<void> {
    const transport = fetchTransport();
    const deadUrl = 'http://127.0.0.1:9/';
    const found = byteStreamCases.find((it) => it.name === name);
    // The kernel's, where it is set wide: `proof/slow-reader.browser.test.ts` looks at what the browser holds.
    const platformBytesMax = 64 * 1024 * 1024;
    await found?.run({ transport, origin: location.origin, deadUrl, clock: systemClock, platformBytesMax, key });
    if (unhandled.length > 0) throw new Error(`unhandled: ${unhandled.join()}`);
  },

  /** Reads a session from its first entry up to `last`, whatever breaks. @returns its text. */
  async readSession(sessionId: string, last: number): Promise<string> {
    let text = '';
    let seq = 0;
    let done = (): void => {};
    const complete = new Promise<void>((resolve) => (done = resolve));
    const stream = new EventStreamClient({
      transport: fetchTransport(),
      baseUrl: location.origin,
      target: { kind: 'session', sessionId: sessionId as SessionId, place: '0' },
      handlers: {
        snapshot() {},
        entry(_session, entry) {
          if (entry.seq !== seq + 1) throw new Error(`entry ${entry.seq} after ${seq}`);
          ({ seq } = entry);
          text += (entry as unknown as { text: string }).text;
          if (seq === last) done();
        },
      },
      // The pauses are what is waited for otherwise.
      ports: { random: () => 0 },
    });
    stream.start();
    await complete;
    await stream.close();
    if (unhandled.length > 0) throw new Error(`unhandled: ${unhandled.join()}`);
    return text;
  },

  async startAndStop(sessionId: string, times: number): Promise<string> {
    const stream = new EventStreamClient({
      transport: fetchTransport(),
      baseUrl: location.origin,
      target: { kind: 'session', sessionId: sessionId as SessionId, place: '0' },
      handlers: { snapshot() {}, entry() {} },
    });
    for (let i = 0; i < times; i++) {
      stream.start();
      if (i % 50 === 0) await new Promise((resolve) => systemClock.after(1, () => resolve(undefined)));
      stream.stop();
    }
    await stream.close();
    return [stream.state.kind, ...unhandled].join();
  },

  /** Restarts a stream that reads, again and again. @returns how long after the last restart it reads again, in milliseconds. */
  async restartQuickly(sessionId: string, times: number, everyMs: number): Promise<number> {
    const pause = (ms: number): Promise<void> => new Promise((resolve) => systemClock.after(ms, resolve));
    let tellHello = (): void => {};
    const stream = new EventStreamClient({
      transport: fetchTransport(),
      baseUrl: location.origin,
      target: { kind: 'session', sessionId: sessionId as SessionId, place: '0' },
      handlers: { snapshot() {}, entry() {}, hello: () => tellHello() },
    });
    const greeted = (): Promise<void> => new Promise((resolve) => (tellHello = resolve));
    const first = greeted();
    stream.start();
    await first;
    for (let i = 0; i < times; i++) {
      await pause(everyMs);
      stream.restart();
    }
    const from = systemClock.now();
    await greeted();
    const ms = systemClock.now() - from;
    await stream.close();
    if (unhandled.length > 0) throw new Error(`unhandled: ${unhandled.join()}`);
    return ms;
  },

  /** Joins the tabs that share one stream, and follows these sessions from their first entries. */
  share(name: string, sessionIds: readonly string[]): void {
    texts.clear();
    const stream = openSharedStream({
      name,
      transport: fetchTransport(),
      baseUrl: location.origin,
      target: { kind: 'sessions' },
      handlers: {
        snapshot: ({ sessionId }) => void unhandled.push(`nobody asked for a snapshot of ${sessionId}`),
        entry(id, entry) {
          const text = texts.get(id) ?? '';
          texts.set(id, text + (entry as unknown as { text: string }).text);
        },
        error: (error) => void unhandled.push(String(error)),
      },
    });
    this.held.push(stream);
    stream.start();
    for (const id of sessionIds) stream.add(id as SessionId, '0');
  },

  /** What this tab has read, and what went wrong. */
  shared(): string {
    return [...texts]
      .map(([id, text]) => `${id}:${text}`)
      .toSorted()
      .concat(unhandled)
      .join(' ');
  },

  /** As the browser does to a tab in the background: it is not visible, and its timers run once a second. */
  hide(): void {
    Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' });
    const { setTimeout } = globalThis;
    Object.assign(globalThis, {
      setTimeout: (callback: () => void, delayMs: number) => setTimeout(callback, Math.max(1000, delayMs)),
    });
    document.dispatchEvent(new Event('visibilitychange'));
  },

  /** A short request of this tab's. @returns its status. */
  async ask(): Promise<number> {
    const { status } = await fetch('/v1/sessions');
    return status;
  },

  /** A refresh that hangs while it holds the lock of all tabs. @returns how it ends. */
  async refreshThatHangs(refreshMs: number): Promise<string> {
    const credentials = createCredentials({
      store: { get: () => 'stale', set() {} },
      refresh: () => new Promise(() => {}),
      refreshMs,
    });
    const outcome = await credentials.refresh('stale');
    return outcome.kind === 'renewed' ? 'renewed' : outcome.fault.kind;
  },

  /** A token that all tabs share; the refresh is the server's to count. @returns the token afterwards. */
  async refresh(stale: string): Promise<string | undefined> {
    const transport = fetchTransport();
    const credentials = createCredentials({
      store: {
        get: () => localStorage.getItem('token') ?? stale,
        set: (token) => localStorage.setItem('token', token ?? ''),
      },
      refresh: async () => {
        const { body } = await openByteStream(transport.short, { url: `${location.origin}/guarded?key=refresh` });
        await body.text();
        return { kind: 'renewed', token: 'fresh' };
      },
    });
    const outcome = await credentials.refresh(stale);
    return outcome.kind === 'renewed' ? outcome.token : outcome.kind;
  },
};

export type BrowserPage = typeof page;
Object.assign(globalThis, { page });
