import { expect, test } from 'vitest';
import { Conversation, type ConversationOptions } from '../../test/conversation.ts';
import { isAlive } from '../../test/processes.ts';
import { temporaryDirectory } from '../../test/temporary.ts';
import { commandAgent, type CommandConfig } from './agent.ts';

const converse = async (
  script: string,
  config: Partial<CommandConfig> = {},
  options: ConversationOptions = {},
): Promise<Conversation> => {
  const cwd = await temporaryDirectory();
  return new Conversation(
    commandAgent({ command: ['/bin/sh', '-c', script], cwd, env: process.env, ...config }),
    options,
  );
};

test('what a program prints is the answer; what it was asked is its input', async () => {
  const conversation = await converse('echo "You said:"; cat; echo noise >&2');
  expect((await conversation.say('grüß dich 🐎')).end).toEqual({ outcome: 'completed' });
  expect(conversation.text).toBe('You said:\ngrüß dich 🐎\n');
});

test('as JSON it is told the whole conversation', async () => {
  const conversation = await converse('cat', { input: 'json' });
  await conversation.say('one');
  await conversation.say('two');
  const asked = JSON.parse(conversation.text) as { readonly history: unknown; readonly messages: unknown };
  expect(asked.messages).toEqual([{ role: 'user', text: 'two' }]);
  expect(asked.history).toEqual([
    { role: 'user', text: 'one' },
    { role: 'assistant', text: expect.stringContaining('"one"') },
  ]);
});

test('a program that fails, does not exist or does not end is told so; what it printed is kept', async () => {
  const failing = await converse('echo half; echo no paper >&2; exit 7');
  expect((await failing.say('print')).end).toMatchObject({
    outcome: 'failed',
    fault: 'agent-crashed',
    reason: '/bin/sh ended with exit code 7. It said: no paper',
  });
  expect(failing.text).toBe('half\n');
  const missing = await converse('', { command: ['/nonexistent/program'] });
  expect((await missing.say('go')).end).toMatchObject({
    fault: 'agent-crashed',
    reason: expect.stringContaining('ENOENT'),
  });
  const endless = await converse('echo half; sleep 600', { timeoutMs: 500 });
  expect((await endless.say('go')).end).toMatchObject({ outcome: 'limit' });
});

test('a stop ends the program', async () => {
  const conversation = await converse('echo $$; sleep 600', {}, { onEvent: (_event, { abort }) => abort.abort() });
  await conversation.say('go');
  expect(conversation.answerMessage.state).toBe('cancelled');
  expect(isAlive(Number(conversation.text))).toBe(false);
});

test('a program that does not read its input is no fault', async () => {
  const conversation = await converse('echo done');
  expect((await conversation.say('x'.repeat(1_000_000))).end).toEqual({ outcome: 'completed' });
});
