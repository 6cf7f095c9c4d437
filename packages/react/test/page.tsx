/** What the browser test runs inside of a page: small trees over a gateway in memory, with everything they do counted. */
/* oxlint-disable react/no-unstable-nested-components -- a case is no component: each makes its own, once */
import { BtwClient, createClient, type HoldfastClient } from '@holdfast/client';
import { createTestGateway, type TestGateway } from '@holdfast/client/testing';
import {
  Activity,
  memo,
  startTransition,
  StrictMode,
  useEffect,
  useLayoutEffect,
  useState,
  type FunctionComponent,
  type ReactElement,
  type ReactNode,
} from 'react';
import { flushSync } from 'react-dom';
import { createRoot, hydrateRoot, type Root } from 'react-dom/client';
import { renderToString } from 'react-dom/server.browser';

import {
  HoldfastProvider,
  useBtw,
  useComposer,
  useConnection,
  useMessage,
  useSession,
  useSessions,
  useTurnEnd,
  type SideQuestion,
} from '../src/index.ts';

const frame = (): Promise<void> => new Promise((resolve) => requestAnimationFrame(() => resolve()));

async function until(isTrue: () => boolean): Promise<void> {
  for (let frames = 0; !isTrue(); frames++) {
    if (frames > 600) throw new Error(`never came: ${isTrue.toString()}`);
    await frame();
  }
}

/** Takes a while, so that a render is cut into slices. */
function spin(): void {
  const end = performance.now() + 1;
  while (performance.now() < end);
}

function check(what: string, isTrue: boolean): void {
  if (!isTrue) throw new Error(what);
}

interface World {
  readonly gateway: TestGateway;
  readonly client: HoldfastClient;
  readonly box: HTMLElement;
  render(tree: ReactNode): void;
  readonly errors: string[];
  end(): Promise<void>;
}

function openWorld(script?: Parameters<typeof createTestGateway>[0]): World {
  const gateway = createTestGateway(script);
  const client = createClient({ baseUrl: 'http://test', transport: gateway.transport, subject: 'tester', lingerMs: 0 });
  const box = document.body.appendChild(document.createElement('div'));
  const errors: string[] = [];
  const root: Root = createRoot(box, { onUncaughtError: (error) => errors.push(String(error)) });
  const render = (tree: ReactNode): void =>
    root.render(
      <StrictMode>
        <HoldfastProvider client={client}>{tree}</HoldfastProvider>
      </StrictMode>,
    );
  const end = async (): Promise<void> => {
    flushSync(() => root.unmount());
    await client.close();
    check(`errors: ${errors.join()}`, errors.length === 0);
  };
  return { gateway, client, box, render, errors, end };
}

/** Commits by message id. */
type Commits = Map<string, number>;

const Bubble: FunctionComponent<{ readonly id: string; readonly messageId: string; readonly commits: Commits }> = memo(
  ({ id, messageId, commits }) => {
    const message = useMessage(id, messageId);
    useLayoutEffect(() => void commits.set(messageId, (commits.get(messageId) ?? 0) + 1));
    return <p>{message?.text}</p>;
  },
);

function Transcript({ id, commits }: { readonly id: string; readonly commits: Commits }): ReactElement {
  const ids = useSession(id, (state) => state.messages.map((message) => message.id));
  useLayoutEffect(() => void commits.set('list', (commits.get('list') ?? 0) + 1));
  return (
    <>
      {ids.map((messageId) => (
        <Bubble key={messageId} id={id} messageId={messageId} commits={commits} />
      ))}
    </>
  );
}

async function* slowly(words: number): AsyncGenerator<string, void, string | undefined> {
  for (let i = 0; i < words; i++) {
    yield `w${i} `;
    // Four words a frame.
    if (i % 4 === 3) await frame();
  }
}

const cases: Readonly<Record<string, () => Promise<void>>> = {
  async 'E7: a token renders its own message alone, once a frame, and nobody else'() {
    const world = openWorld({ script: () => slowly(200) });
    const session = await world.client.createSession();
    const commits: Commits = new Map();
    world.render(<Transcript id={session.id} commits={commits} />);
    const first = await (await session.send('one')).done;
    check('the first ended', first.kind === 'ended');
    await until(() => world.box.querySelectorAll('p').length === 2 && world.box.textContent.includes('w199'));
    // The entries after its end: what it used, the end of its stream.
    await until(() => session.store.getSnapshot().view.closing === null);
    await frame();
    await frame();
    const before = new Map(commits);
    await (
      await session.send('two')
    ).done;
    await until(
      () =>
        world.box.querySelectorAll('p').length === 4 &&
        world.box.lastElementChild?.textContent.includes('w199') === true,
    );
    for (const [id, count] of before) {
      if (id !== 'list') check(`${id} rendered again: ${count} → ${commits.get(id)}`, commits.get(id) === count);
    }
    check(`the list rendered ${commits.get('list')} times`, (commits.get('list') ?? 0) <= 8);
    const streamed = [...commits].filter(([id]) => !before.has(id) && id.startsWith('a_'));
    check(`the answer was committed ${streamed[0]?.[1]} times for 200 words`, (streamed[0]?.[1] ?? 0) <= 70);
    await world.end();
  },

  async 'C2: a view that was hidden and is shown again asks as before'() {
    const world = openWorld();
    const { id } = await world.client.createSession();
    await (await world.client.session(id).send('first')).text();
    const open = (): BtwClient => new BtwClient({ baseUrl: 'http://test', transport: world.gateway.transport });
    let side: SideQuestion | undefined;
    function Side(): ReactElement {
      const asked = useBtw(id, open);
      // With the hook's own effects: what is asked before them, strict mode's second round cancels.
      useEffect(() => {
        side = asked;
        return () => (side = undefined);
      });
      return <p>{asked.state?.status}</p>;
    }
    for (const question of ['why', 'and then']) {
      world.render(<Activity mode="visible">{<Side />}</Activity>);
      await until(() => side !== undefined);
      flushSync(() => side?.ask(question));
      await until(() => world.box.textContent === 'completed');
      check(`${question} was not kept`, (await side?.keep())?.kind === 'ok');
      world.render(<Activity mode="hidden">{<Side />}</Activity>);
      await until(() => side === undefined);
    }
    await world.end();
  },

  async 'B3: strict mode mounts twice and follows once; unmounting leaves nothing'() {
    const world = openWorld();
    const session = await world.client.createSession();
    function Chat(): ReactElement {
      const { status } = useSession(session.id);
      const { kind } = useConnection();
      const list = useSessions();
      return (
        <p>
          {status} {kind} {list.state.rows.length}
        </p>
      );
    }
    world.render(<Chat />);
    await until(() => world.box.textContent === 'ready live 1');
    check(`${world.gateway.streams} streams`, world.gateway.streams === 1);
    check('one subscriber', world.client.inspect().sessions[0]?.subscribers === 1);
    world.render(null);
    await until(() => world.gateway.streams === 0);
    check(
      'nobody follows',
      world.client.inspect().sessions.every((it) => !it.followed && it.subscribers === 0),
    );
    await world.end();
  },

  async 'concurrent rendering: what one commit shows is of one state'() {
    const world = openWorld({ script: () => slowly(200) });
    const session = await world.client.createSession();
    const torn: string[] = [];
    let bump: (n: number) => void = () => {};
    function Slow({ part, n }: { readonly part: number; readonly n: number }): ReactElement {
      const seq = useSession(session.id, (state) => state.view.seq);
      spin();
      return (
        <i data-seq={seq}>
          {seq}/{part}/{n}
        </i>
      );
    }
    function Many(): ReactElement {
      const [n, setN] = useState(0);
      useLayoutEffect(() => {
        bump = setN;
      }, []);
      useLayoutEffect(() => {
        const seqs = new Set([...world.box.querySelectorAll('i')].map((it) => it.dataset['seq']));
        if (seqs.size > 1) torn.push([...seqs].join());
      });
      return (
        <>
          {Array.from({ length: 15 }, (_, part) => (
            <Slow key={part} part={part} n={n} />
          ))}
        </>
      );
    }
    world.render(<Many />);
    const turn = await session.send('go');
    let over = false;
    void turn.done.then(() => (over = true));
    for (let n = 0; !over; n++) {
      startTransition(() => bump(n));
      await frame();
    }
    check(`torn: ${torn.join(' | ')}`, torn.length === 0);
    await world.end();
  },

  async 'an inline selector that makes a new object each time renders only when its parts change'() {
    const world = openWorld();
    const session = await world.client.createSession();
    let renders = 0;
    function Title(): ReactElement {
      const picked = useSession(session.id, ({ view }) => ({ title: view.title, pinned: view.pinned }));
      renders++;
      return <p>{`${picked.title} ${picked.pinned}`}</p>;
    }
    world.render(<Title />);
    await session.ready();
    await until(() => world.box.textContent === 'null false');
    const before = renders;
    await (
      await session.send('does not concern it')
    ).done;
    await frame();
    check(`rendered ${renders - before} times for nothing`, renders === before);
    await session.rename('Now it does');
    await until(() => world.box.textContent === 'Now it does false');
    await world.end();
  },

  async 'R72: a draft belongs to its session, and two clicks in one frame send once'() {
    const world = openWorld();
    await world.client.createSession({ id: 's_a' });
    await world.client.createSession({ id: 's_b' });
    let composer: ReturnType<typeof useComposer> | undefined;
    function Box({ id }: { readonly id: string }): ReactElement {
      const mine = useComposer(id);
      useLayoutEffect(() => void (composer = mine));
      return <p>{mine.text}</p>;
    }
    world.render(<Box id="s_a" />);
    await until(() => composer !== undefined);
    composer?.setText('for a');
    await until(() => world.box.textContent === 'for a');
    world.render(<Box id="s_b" />);
    await until(() => world.box.textContent === '');
    check('nothing to send', composer?.canSend === false && composer.send() === undefined);
    world.render(<Box id="s_a" />);
    await until(() => world.box.textContent === 'for a');
    const [first, second] = [composer?.send(), composer?.send()];
    check('the second click sends nothing', first !== undefined && second === undefined);
    await (
      await first
    )?.done;
    check('a has it', world.gateway.view('s_a').messages[0]?.text === 'for a');
    check('b has not', world.gateway.view('s_b').messages.length === 0);
    await world.end();
  },

  async 'R73: the end of a turn is heard once, in strict mode and through a lost connection'() {
    const world = openWorld({ script: () => slowly(40) });
    const session = await world.client.createSession();
    const heard: string[] = [];
    function Ear(): null {
      useSession(session.id);
      useTurnEnd(({ turnId }) => heard.push(turnId));
      return null;
    }
    world.render(<Ear />);
    const turn = await session.send('listen');
    await until(() => (world.gateway.view(session.id).messages[1]?.text.length ?? 0) > 10);
    world.gateway.drop();
    await turn.done;
    await frame();
    check(`heard ${heard.length} times`, heard.length === 1);
    await world.end();
  },

  async 'a server renders the first state, and the page takes over without a mismatch'() {
    const gateway = createTestGateway();
    const client = createClient({ baseUrl: 'http://test', transport: gateway.transport, subject: 'tester' });
    const session = await client.createSession({ id: 's_ssr' });
    await (
      await session.send('before')
    ).done;
    function Chat(): ReactElement {
      const { status, messages } = useSession('s_ssr');
      return (
        <p>
          {status} {messages.length}
        </p>
      );
    }
    const tree = (
      <HoldfastProvider client={client}>
        <Chat />
      </HoldfastProvider>
    );
    const box = document.body.appendChild(document.createElement('div'));
    box.innerHTML = renderToString(tree);
    check(`the server said ${box.textContent}`, box.textContent === 'loading 0');
    const errors: string[] = [];
    // The store is ahead of what the server rendered: it is ready already.
    const root = hydrateRoot(box, tree, { onRecoverableError: (error) => errors.push(String(error)) });
    await until(() => box.textContent === 'ready 2');
    check(`mismatch: ${errors.join()}`, errors.length === 0);
    root.unmount();
    await client.close();
  },
};

declare global {
  interface Window {
    page: { readonly names: readonly string[]; run(name: string): Promise<void> | undefined };
  }
}
window.page = { names: Object.keys(cases), run: (name) => cases[name]?.() };
