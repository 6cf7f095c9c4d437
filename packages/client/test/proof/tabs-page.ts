/** One of many tabs: a client that shares its stream with the others. Bundled by `tabs.browser.test.ts`. */
import { createClient, openSharedStream, type Session } from '../../src/index.ts';

let session: Session | undefined;

const tabPage = {
  async open(token: string, id: string): Promise<void> {
    const client = createClient({
      baseUrl: location.origin,
      token,
      openStream: ({ target, ...options }) => {
        if (target.kind === 'session') throw new Error('a page follows all its sessions on one stream');
        return openSharedStream({ ...options, target, name: `${location.origin} admin` });
      },
    });
    session = await client.createSession({ id });
    session.store.subscribe(() => {});
  },

  async send(text: string): Promise<void> {
    await session?.send(text);
  },

  /** Everything that is shown, when there is nothing more to come of so many messages. */
  settled(count: number): Promise<string> {
    return new Promise((resolve) => {
      const look = (): void => {
        const { view, outbox } = session?.store.getSnapshot() ?? {};
        if (view?.turns.length !== count || view.turn !== null || view.closing !== null || outbox?.length !== 0) return;
        resolve(view.messages.map(({ role, text }) => `${role}: ${text}`).join('\n'));
      };
      session?.store.subscribe(look);
      look();
    });
  },
};

export type TabPage = typeof tabPage;
Object.assign(globalThis, { tabPage });
