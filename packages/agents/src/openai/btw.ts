/**
 * A side question: one plain completion over the conversation as it stands, without tools.
 *
 * 1. The running turn's answer is in it as far as it has come; a call whose result is not there yet says so.
 * 2. The question says of itself that it is one: the model would otherwise go on with the work.
 */
import type { Message, MessageId, TurnId } from '@holdfast/protocol';
import type { Agent, BtwContext, BtwInput, RunContext } from '@holdfast/session';
import type { OpenAiSettings } from './config.ts';
import { endOfAnswer } from './ending.ts';
import { failure } from './failure.ts';
import type { ModelServer } from './server.ts';
import { Talk } from './talk.ts';

const ASIDE =
  'A side question about the conversation so far. Answer it in short, from what is there; use no tools and do not go on with the work.';

export async function* btw(
  input: BtwInput,
  context: BtwContext,
  { toolbox: _none, ...settings }: OpenAiSettings,
  server: ModelServer,
): ReturnType<NonNullable<Agent['btw']>> {
  const { sessionId, model, messages, earlierTurns, question } = input;
  const turnId = 't_btw' as TurnId;
  const run = {
    sessionId,
    turnId,
    model,
    history: messages,
    earlierTurns,
    messages: [asMessage(`${ASIDE}\n\n${question}`, turnId)],
    progress: { parts: [], prompts: [], results: [] },
    attempt: 1,
  };
  const talk = await Talk.open(run, withoutPeople(context), settings, server);
  const asking = talk.ask();
  try {
    for (;;) {
      const next = await asking.next();
      if (next.done !== true) {
        if (next.value.type === 'text') yield next.value;
        continue;
      }
      if (next.value.kind === 'ended') return next.value.end;
      return (
        endOfAnswer(next.value.draft) ?? failure('model-refused', 'The model called a tool; a side question has none.')
      );
    }
  } finally {
    await asking.return({ kind: 'ended', end: { outcome: 'completed' } });
  }
}

const asMessage = (text: string, turnId: TurnId): Message => ({
  id: 'm_btw' as MessageId,
  role: 'user',
  text,
  parts: [{ type: 'text', text }],
  turnId,
  state: 'sent',
  revision: 0,
  at: '',
});

const withoutPeople = (context: BtwContext): RunContext => {
  const none = (): never => {
    throw new Error('A side question has no tools and asks nobody.');
  };
  return {
    ...context,
    toolId: none,
    promptId: none,
    isGranted: () => false,
    takeSteers: () => Promise.resolve([]),
    ask: none,
    openBlob: none,
  };
};
