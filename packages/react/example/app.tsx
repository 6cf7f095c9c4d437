/** A whole chat: sessions, a transcript that streams, approvals, a queue that survives the network. */
import { memo, StrictMode, useState, type FunctionComponent, type ReactElement } from 'react';
import { createRoot } from 'react-dom/client';

import { createClient } from '@holdfast/client';
import {
  HoldfastProvider,
  useClient,
  useComposer,
  useConnection,
  useMessage,
  usePrompts,
  useSession,
  useSessions,
} from '@holdfast/react';

function App(): ReactElement {
  const client = useClient();
  const [open, setOpen] = useState<string>();
  const { state } = useSessions();
  return (
    <main>
      <nav>
        <button onClick={() => void client.createSession().then((session) => setOpen(session.id))}>New</button>
        {state.rows.map((row) => (
          <button key={row.sessionId} onClick={() => setOpen(row.sessionId)}>
            {row.title ?? row.preview} {row.state}
          </button>
        ))}
      </nav>
      {open !== undefined && <Chat id={open} />}
    </main>
  );
}

function Chat({ id }: { readonly id: string }): ReactElement {
  const messageIds = useSession(id, (state) => state.messages.map((message) => message.id));
  const waiting = useSession(id, (state) => state.view.queue.map((item) => item.text));
  const { prompts, answer } = usePrompts(id);
  const connection = useConnection(id);
  const composer = useComposer(id);
  return (
    <section aria-label="chat">
      {messageIds.map((messageId) => (
        <Bubble key={messageId} id={id} messageId={messageId} />
      ))}
      {prompts.map((prompt) => (
        <p key={prompt.promptId}>
          {prompt.title}
          {prompt.choices.map((choice) => (
            <button key={choice} onClick={() => void answer(prompt, choice)}>
              {choice}
            </button>
          ))}
        </p>
      ))}
      {waiting.map((text) => (
        <p key={text}>queued: {text}</p>
      ))}
      {composer.outbox.map((item) => (
        <p key={item.clientId}>
          {item.text} ({item.state})
        </p>
      ))}
      <form action={() => void composer.send()}>
        <input aria-label="message" value={composer.text} onChange={(event) => composer.setText(event.target.value)} />
        <button disabled={!composer.canSend}>Send</button>
        {composer.isBusy && (
          <button type="button" onClick={() => void composer.stop()}>
            Stop
          </button>
        )}
      </form>
      <output>{connection.kind}</output>
    </section>
  );
}

/** A token renders the message that it belongs to, and nothing else. */
const Bubble: FunctionComponent<{ readonly id: string; readonly messageId: string }> = memo(({ id, messageId }) => {
  const message = useMessage(id, messageId);
  return message === undefined ? null : (
    <article data-role={message.role} data-state={message.state}>
      {message.text}
    </article>
  );
});

createRoot(document.body.appendChild(document.createElement('div'))).render(
  <StrictMode>
    <HoldfastProvider client={createClient({ baseUrl: '' })}>
      <App />
    </HoldfastProvider>
  </StrictMode>,
);
