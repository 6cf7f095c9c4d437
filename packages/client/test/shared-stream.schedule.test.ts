/** Tabs that share one stream: whoever leads, whatever ends, each tab reads every entry of its sessions once (R50). */
import type { SessionId } from '@holdfast/protocol/ids';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { HandClock, settled } from './fakes.ts';
import { AutoServer, ChannelHub, FakeLocks, FakeTab, type FakeBrowser } from './tabs.ts';

const sessions = ['a', 'b'] as SessionId[];

type Locks = 'granted' | 'refused' | undefined;

class Browser implements FakeBrowser {
  readonly clock = new HandClock();
  readonly server = new AutoServer();
  readonly hub = new ChannelHub();
  readonly locks: FakeLocks | 'refused' | undefined;
  readonly tabs: FakeTab[] = [];

  constructor(locks: Locks) {
    this.locks = locks === 'granted' ? new FakeLocks() : locks;
  }

  open(visible: boolean = false): FakeTab {
    const tab = new FakeTab(this, visible);
    this.tabs.push(tab);
    tab.stream.start();
    return tab;
  }

  get alive(): readonly FakeTab[] {
    return this.tabs.filter((tab) => tab.alive);
  }

  /** Everybody's turn, until nobody has anything to do. */
  async run(): Promise<void> {
    for (let i = 0; i < 8; i++) {
      this.server.serve();
      await settled();
    }
  }

  async pass(ms: number): Promise<void> {
    await this.run();
    for (let passed = 0; passed < ms; passed += 500) {
      this.clock.advance(500);
      await this.run();
    }
  }

  /** The sockets of crashed tabs are the system's to close. */
  crash(tab: FakeTab): void {
    tab.crash();
  }
}

describe.each([
  ['with Web Locks', 'granted'],
  ['on a plain-http origin, without', undefined],
  ['where Web Locks are refused', 'refused'],
] as [string, Locks][])('%s', (_name, locks) => {
  test('R50: eight tabs have one stream, and each its own sessions', async () => {
    const browser = new Browser(locks);
    for (let i = 0; i < 8; i++) browser.open(i === 0).follow(sessions[i % 2] as SessionId, i % 3 === 0 ? '0' : null);
    await browser.pass(3000);
    for (let i = 0; i < 10; i++) {
      browser.server.log('a').append(`a${i}`);
      browser.server.log('b').append(`b${i}`);
      await browser.run();
    }
    expect(browser.server.live).toBe(1);
    for (const tab of browser.tabs) {
      expect(tab.errors).toEqual([]);
      for (const [id, reader] of tab.readers) expect(reader.text).toBe(browser.server.log(id).text);
    }
    for (const tab of browser.tabs) await tab.close();
    expect(browser.server.live).toBe(0);
    expect(browser.hub.members).toBe(0);
    expect(browser.clock.pending).toBe(0);
  });

  test('R50: a tab that is alone opens its stream, at once where a lock says that it is', async () => {
    const browser = new Browser(locks);
    browser.open().follow('a' as SessionId, null);
    await (locks === 'granted' ? browser.run() : browser.pass(1000));
    expect(browser.server.live).toBe(1);
  });

  test('R50: a tab that joins is live, and has the list, though nothing happens', async () => {
    const browser = new Browser(locks);
    browser.open(true).follow('a' as SessionId, null);
    await browser.pass(3000);
    const opened = browser.server.wire.exchanges.length;
    const second = browser.open(true);
    second.follow('a' as SessionId, String(browser.server.log('a').head));
    second.stream.follow(7);
    await browser.pass(500);
    expect(second.state.kind).toBe('reading');
    // It was asked for on the stream that is open.
    const asked = browser.server.wire.exchanges.slice(opened).map(({ path, request }) => [path, request.body]);
    expect(asked).toEqual([[expect.stringMatching(/\/v1\/events\/\d+$/), expect.stringContaining('"feed":7')]]);
    for (const tab of browser.tabs) await tab.close();
  });

  test('R50: a visible tab takes the lead from one that was hidden, and from one that fell silent', async () => {
    const browser = new Browser(locks);
    const first = browser.open(true);
    first.follow(sessions[0] as SessionId, null);
    await browser.pass(1500);
    const second = browser.open(true);
    second.follow(sessions[0] as SessionId, null);
    await browser.pass(1500);
    const before = browser.server.wire.opened;
    first.show(false);
    await browser.pass(500);
    expect(browser.server.wire.opened).toBe(before + 1);
    expect(browser.server.live).toBe(1);

    browser.server.log('a').append('while second leads');
    await browser.run();
    first.show(true);
    browser.crash(second);
    browser.server.dropAll();
    browser.server.log('a').append(', after it crashed');
    await browser.pass(locks === 'granted' ? 500 : 6500);
    expect(first.readers.get(sessions[0] as SessionId)?.text).toBe('while second leads, after it crashed');
    await first.close();
  });

  test('R50: any schedule of tabs that come, go, crash, hide and change what they follow', async () => {
    const move = fc.record({
      kind: fc.constantFrom(
        ...([
          'open',
          'close',
          'crash',
          'show',
          'hide',
          'follow',
          'unfollow',
          'append',
          'append',
          'pass',
          'pass',
          'drop',
        ] as const),
        ...(['run', 'run', 'serve', 'restart', 'stop', 'start'] as const),
      ),
      tab: fc.nat(3),
      n: fc.nat(8),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(move, { maxLength: 30 }), async (moves) => {
        const browser = new Browser(locks);
        browser.open(true).follow(sessions[0] as SessionId, null);
        for (const { kind, tab: index, n } of moves) {
          const tab = browser.alive[index % Math.max(1, browser.alive.length)];
          const session = sessions[n % 2] as SessionId;
          if (kind === 'open' && browser.alive.length < 4)
            browser.open(n % 2 === 0).follow(session, n < 3 ? '0' : null);
          if (kind === 'close') await tab?.close();
          if (kind === 'crash' && tab !== undefined) browser.crash(tab);
          if (kind === 'show') tab?.show(true);
          if (kind === 'hide') tab?.show(false);
          if (kind === 'follow') tab?.follow(session, null);
          if (kind === 'unfollow') tab?.unfollow(session);
          if (kind === 'append') browser.server.log(session).append(`<${session}${n}>`);
          if (kind === 'pass') browser.clock.advance(n * 700);
          if (kind === 'drop') browser.server.dropAll();
          if (kind === 'serve') browser.server.serve();
          if (kind === 'restart') tab?.stream.restart();
          if (kind === 'stop') tab?.stream.stop();
          if (kind === 'start') tab?.stream.start();
          if (kind === 'run') await browser.run();
          else if (n % 2 === 0) await settled();
        }
        // What a crashed tab still had open is the system's to close; then there is time for everything.
        browser.server.dropAll();
        for (const tab of browser.alive) tab.stream.start();
        await browser.pass(4000);
        if (browser.alive[0] !== undefined) browser.alive[0].show(true);
        await browser.pass(10_000);

        for (const tab of browser.alive) {
          expect(tab.errors).toEqual([]);
          for (const [id, reader] of tab.readers) expect(reader.text).toBe(browser.server.log(id).text);
        }
        if (browser.alive.some((tab) => tab.readers.size > 0)) expect(browser.server.live).toBe(1);
        for (const tab of browser.alive) await tab.close();
        expect(browser.server.live).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});
