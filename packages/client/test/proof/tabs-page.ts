/** One of many tabs, with nothing said of tabs. Bundled by `tabs.browser.test.ts`. */
import { createClient, type Session } from '../../src/index.ts';

let session: Session | undefined;

const tabPage = {
  async open(token: string, id: string): Promise<void> {
    const client = createClient({ baseUrl: location.origin, token, subject: 'admin' });
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
