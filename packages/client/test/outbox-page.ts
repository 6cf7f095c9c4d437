/** What `outbox.browser.test.ts` runs inside of a page: a client with the browser's own outbox. */
import { createClient, idbOutbox, type HoldfastClient } from '../src/index.ts';

interface OutboxPage {
  open(token: string, subject?: string): void;
  create(): Promise<void>;
  send(text: string): Promise<void>;
  /** What the gateway has, as it is shown, and what is not sent yet. */
  state(): { readonly messages: readonly string[]; readonly outbox: readonly string[] };
  stored(): Promise<readonly string[]>;
  connection(): string;
}

let client: HoldfastClient | undefined;

const page: OutboxPage = {
  open(token, subject) {
    client = createClient({ baseUrl: location.origin, token, ...(subject === undefined ? {} : { subject }) });
    client.session('s_idb').store.subscribe(() => {});
  },
  async create() {
    await client?.createSession({ id: 's_idb' });
  },
  async send(text) {
    await client?.session('s_idb').send(text);
  },
  state() {
    const state = client?.session('s_idb').store.getSnapshot();
    const asked = (state?.messages ?? []).filter(({ role }) => role === 'user');
    return {
      messages: [...asked, ...(state?.view.queue ?? [])].map(({ text }) => text),
      outbox: (state?.outbox ?? []).map((item) => `${item.text} ${item.state}`),
    };
  },
  async stored() {
    const store = idbOutbox();
    const sends = await store.all();
    await store.close();
    return sends.map((send) => `${send.subject}: ${send.text}`).toSorted();
  },
  connection() {
    const state = client?.connection.getSnapshot();
    return state?.kind === 'waiting' ? `waiting ${state.fault.kind}: ${state.fault.detail}` : String(state?.kind);
  },
};

declare global {
  interface Window {
    outboxPage: OutboxPage;
  }
}
window.outboxPage = page;
