/**
 * The page's beginning: the way in, the client, and the first drawing.
 */
import { StrictMode, useEffect, useState, type ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import { createClient, type HoldfastClient } from '@holdfast/client';
import { HoldfastProvider, useConnection } from '@holdfast/react';
import type { Subject } from '@holdfast/protocol/entry';
import { Drafts } from './composer/drafts.ts';
import { gatewayAddress } from './shell/addresses.ts';
import { App } from './shell/app.tsx';
import { callForAttention } from './shell/attention.ts';
import { go, onMove, sessionIdHere } from './shell/route.ts';
import { SignIn } from './shell/sign-in.tsx';
import { enter, takeStartCode, type Access } from './shell/start.ts';
import { greet } from './shell/version.ts';
import { Notices } from './ui/notices.tsx';
import '@fontsource-variable/inter/wght.css';
import '@fontsource-variable/inter/wght-italic.css';
import '@fontsource-variable/jetbrains-mono/wght.css';
import './styles/index.css';

const baseUrl = gatewayAddress();
const drafts = new Drafts();

/** From the beginning, with the new cookie: drafts and unsent messages are kept outside of the page. */
async function enterAnew(code: string): Promise<boolean> {
  const access = await enter(baseUrl, code);
  if (access.kind === 'in') location.reload();
  return access.kind === 'in';
}

/** What was let in may be sent out again: a cookie expires, a token is revoked. */
function Entered(props: { readonly me: Subject | null; readonly terminals: boolean }): ReactNode {
  const [isOut, setOut] = useState(false);
  const isRefused = useConnection().kind === 'closed';
  useEffect(() => {
    if (!isRefused) return undefined;
    let isOver = false;
    void enter(baseUrl, null).then(({ kind }) => !isOver && setOut(kind === 'out'));
    return () => {
      isOver = true;
    };
  }, [isRefused]);
  return isOut ? <SignIn onCode={enterAnew} isRefused={false} /> : <App drafts={drafts} {...props} />;
}

function clientOf(access: Access): HoldfastClient {
  const subject = access.kind === 'in' ? access.subject : null;
  const whose = subject === null ? {} : { subject };
  const client = createClient({ baseUrl, onHello: greet, ...whose });
  callForAttention({ client, openId: sessionIdHere, onMove, onOpen: go });
  return client;
}

const code = takeStartCode();
const access = await enter(baseUrl, code);
const root = document.querySelector('#root');
if (root === null) throw new Error('index.html has no #root.');
createRoot(root).render(
  <StrictMode>
    <Notices>
      {access.kind === 'out' ? (
        <SignIn onCode={enterAnew} isRefused={code !== null} />
      ) : (
        <HoldfastProvider client={clientOf(access)}>
          <Entered
            me={access.kind === 'in' ? access.subject : null}
            terminals={access.kind === 'in' && access.terminals}
          />
        </HoldfastProvider>
      )}
    </Notices>
  </StrictMode>,
);
