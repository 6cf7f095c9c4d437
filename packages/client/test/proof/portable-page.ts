/** The portable cases inside of a page, with the browser's own outbox. Bundled by `portable.browser.test.ts`. */
import { fetchTransport, idbOutbox } from '../../src/index.ts';
import { portableCases } from './portable-cases.ts';

const unhandled: string[] = [];
addEventListener('unhandledrejection', ({ reason }) => unhandled.push(String(reason)));

const portable = {
  async run(name: string, key: string): Promise<void> {
    const it = portableCases.find((candidate) => candidate.name === name);
    if (it === undefined) throw new Error(`there is no case ${name}`);
    await it.run({ makeTransport: fetchTransport, origin: location.origin, openOutbox: idbOutbox, key });
    if (unhandled.length > 0) throw new Error(`unhandled: ${unhandled.join()}`);
  },
};

export type Portable = typeof portable;
Object.assign(globalThis, { portable });
