/**
 * Streams as OpenAI-compatible servers send them, with what an answer of each has to be. Written for these tests; the shapes
 * are those that servers were seen to send.
 */
import type { FaultKind, TurnOutcome } from '@holdfast/protocol';
import { delta, sse } from './model-server.ts';

export interface ModelStream {
  readonly body: string;
  readonly type?: string;
  readonly outcome: Extract<TurnOutcome, 'completed' | 'failed' | 'limit'>;
  readonly fault?: FaultKind;
  readonly says?: RegExp;
  readonly text?: string;
  readonly thinking?: string;
  /** Name and arguments of each call. */
  readonly calls?: readonly (readonly [string, unknown])[];
}

const say = (content: unknown, finish: string | null = null): unknown => delta({ content }, finish);
const half = say('half ');
const stop = delta({}, 'stop');
const call = (fields: Record<string, unknown>): unknown => delta({ tool_calls: [fields] });
const called = delta({}, 'tool_calls');
const part = (name: string | undefined, text: string): Record<string, unknown> => ({
  function: { ...(name === undefined ? {} : { name }), arguments: text },
});

const ends = (finish: string, rest: Omit<ModelStream, 'body'>): ModelStream => ({
  body: sse([half, delta({}, finish), '[DONE]']),
  text: 'half ',
  ...rest,
});
const refuses = (frame: unknown, fault: FaultKind, says: RegExp): ModelStream => ({
  body: sse([half, frame, '[DONE]']),
  outcome: 'failed',
  fault,
  says,
  text: 'half ',
});
const whole = (items: readonly unknown[]): ModelStream => ({
  body: sse(items),
  outcome: 'completed',
  text: 'half done',
});
const calls = (items: readonly unknown[], expected: readonly (readonly [string, unknown])[]): ModelStream => ({
  body: sse([...items, called, '[DONE]']),
  outcome: 'completed',
  calls: expected,
});

const empty: Omit<ModelStream, 'body'> = { outcome: 'failed', fault: 'model-empty', text: '' };
const cutOff: Omit<ModelStream, 'body'> = { outcome: 'failed', fault: 'model-cut-off', text: 'half ' };
const answered = {
  choices: [{ index: 0, message: { role: 'assistant', content: 'half done' }, finish_reason: 'stop' }],
};

export const MODEL_STREAMS: Readonly<Record<string, ModelStream>> = {
  'R84: an empty finish reason and no [DONE]': { body: sse([say('half ', ''), say('', '')]), ...cutOff },
  'R84: a finish reason "null" and no [DONE]': { body: sse([say('half ', 'null')]), ...cutOff },
  'R84: empty finish reasons before the real one': whole([say('half ', ''), say('done', ''), stop, '[DONE]']),
  'R84: network_error': ends('network_error', { outcome: 'failed', fault: 'model-error', says: /network_error/ }),
  'R84: insufficient_system_resource': ends('insufficient_system_resource', {
    outcome: 'failed',
    fault: 'model-error',
    says: /insufficient_system_resource/,
  }),
  'R84: abort': ends('abort', { outcome: 'failed', fault: 'model-error', says: /abort/ }),
  'R84: MALFORMED_FUNCTION_CALL': ends('MALFORMED_FUNCTION_CALL', { outcome: 'failed', fault: 'model-error' }),
  'R84: a word of no server': ends('blorp', { outcome: 'failed', fault: 'model-error', says: /blorp/ }),
  'R84: MAX_TOKENS': ends('MAX_TOKENS', { outcome: 'limit' }),
  'R84: model_length': ends('model_length', { outcome: 'limit' }),
  'R84: length': ends('length', { outcome: 'limit' }),
  'R84: sensitive': ends('sensitive', { outcome: 'failed', fault: 'model-refused', says: /sensitive/ }),
  'R84: SAFETY': ends('SAFETY', { outcome: 'failed', fault: 'model-refused' }),
  'R84: tool_calls without a call': ends('tool_calls', { outcome: 'failed', fault: 'model-error' }),
  'R85: an error object with object: error': refuses(
    { object: 'error', message: 'worker died', code: 500 },
    'model-error',
    /worker died/,
  ),
  'R85: a detail': refuses({ detail: 'engine stopped' }, 'model-error', /engine stopped/),
  'R85: an error in a choice': refuses(
    { choices: [{ index: 0, delta: {}, finish_reason: 'error', error: { message: 'upstream went away' } }] },
    'model-error',
    /upstream went away/,
  ),
  'R85: an event called error': {
    body: `${sse([half])}event: error\ndata: {"code":"Throttling.RateQuota","message":"slow down"}\n\n`,
    outcome: 'failed',
    fault: 'model-rate-limited',
    says: /slow down/,
    text: 'half ',
  },
  'R85: a field error': {
    body: `${sse([half])}error: {"message":"out of memory"}\n\n`,
    outcome: 'failed',
    fault: 'model-error',
    says: /out of memory/,
    text: 'half ',
  },
  'R85: an unknown object and [DONE] alone': refuses({ kind: 'verdict' }, 'model-error', /not understood/),
  'R85: only an error with error_type': {
    body: sse([{ error_type: 'invalid_request_error', error_message: 'prompt is too long: 9 tokens > 5' }, '[DONE]']),
    outcome: 'failed',
    fault: 'context-overflow',
    says: /too long/,
  },
  'R85: a JSON error labelled as events': {
    body: JSON.stringify({ error: { message: 'no such deployment', code: 404 } }),
    outcome: 'failed',
    fault: 'model-not-found',
    says: /no such deployment/,
  },
  'R85: a JSON answer labelled as events': { body: JSON.stringify(answered), outcome: 'completed', text: 'half done' },
  'R85: events labelled as JSON': { ...whole([half, say('done'), stop, '[DONE]']), type: 'application/json' },
  'R85: nothing at all': { body: sse(['[DONE]']), ...empty },
  'R85: only a stop': { body: sse([stop, '[DONE]']), ...empty },
  'R85: only thinking': {
    body: sse([delta({ reasoning_content: 'hm' }), stop, '[DONE]']),
    ...empty,
    thinking: 'hm',
    says: /thought/,
  },
  'R88: usage as strings': whole([half, say('done'), stop, { usage: { prompt_tokens: '7', completion_tokens: '2' } }]),
  'R88: usage as a list': whole([half, say('done'), stop, { choices: [], usage: [] }, '[DONE]']),
  'R88: [DONE] with a blank': whole([half, say('done'), '[DONE] ']),
  'R88: the word done behind the end': whole([half, say('done'), stop, 'done']),
  'R88: an error of the accounting behind the end': whole([
    half,
    say('done'),
    stop,
    { error: { message: 'no meter' } },
  ]),
  'R88: keep-alives and odd values in mid-answer': whole([
    half,
    '',
    'ping',
    'null',
    '5',
    { choices: [] },
    { type: 'ping' },
    say(5),
    say([{ type: 'text', text: null }]),
    delta({ reasoning_content: 7, tool_calls: 'none' }),
    say('done'),
    stop,
    '[DONE]',
  ]),
  'R89: an id that changes with each chunk, on one index': calls(
    [
      call({ index: 0, id: 'a', ...part('paint', '{"col') }),
      call({ index: 0, id: 'b', ...part(undefined, 'our":') }),
      call({ index: 0, id: 'c', ...part(undefined, '"red"}') }),
    ],
    [['paint', { colour: 'red' }]],
  ),
  'R89: a numeric id and an index as text': calls(
    [call({ index: '0', id: 17, ...part('paint', '{"col') }), call({ index: '0', ...part(undefined, 'our":"red"}') })],
    [['paint', { colour: 'red' }]],
  ),
  'R89: two calls with index 0 and no id': calls(
    [
      call({ index: 0, id: '', ...part('paint', '{"colour":"red"}') }),
      call({ index: 0, id: '', ...part('paint', '{"colour":"blue"}') }),
    ],
    [
      ['paint', { colour: 'red' }],
      ['paint', { colour: 'blue' }],
    ],
  ),
  'R89: a second object without a name': calls(
    [
      call({ index: 0, id: 'a', ...part('paint', '{"colour":"red"}') }),
      call({ index: 0, ...part(undefined, '{"colour":') }),
      call({ index: 0, ...part(undefined, '"blue"}') }),
    ],
    [
      ['paint', { colour: 'red' }],
      ['paint', { colour: 'blue' }],
    ],
  ),
  'R89: a name in each chunk': calls(
    [call({ index: 0, id: 'a', ...part('paint', '{"col') }), call({ index: 0, ...part('paint', 'our":"red"}') })],
    [['paint', { colour: 'red' }]],
  ),
  'R89: a name that comes late': calls(
    [call({ index: 0, id: 'a' }), call({ index: 0, ...part('paint', '{"colour":"red"}') })],
    [['paint', { colour: 'red' }]],
  ),
  'thinking in tags': {
    ...whole([say('<thi'), say('nk>a < b</th'), say('ink>\n\nhalf '), say('done'), stop, '[DONE]']),
    thinking: 'a < b',
  },
  'a text that speaks of the tag': { ...whole([]), body: sse([say('Use <think>.'), stop]), text: 'Use <think>.' },
  'an empty name of thinking beside a full one': {
    ...whole([delta({ reasoning_content: '', reasoning: 'hm' }), half, say('done'), stop]),
    thinking: 'hm',
  },
  'thinking as details alone': {
    ...whole([delta({ reasoning_details: [{ type: 'reasoning.text', text: 'hm' }] }), half, say('done'), stop]),
    thinking: 'hm',
  },
  'a refusal is shown': { ...whole([delta({ refusal: 'I will not.' }), stop, '[DONE]']), text: 'I will not.' },
  'the halves of a character in two chunks': { ...whole([say('\uD83D'), say('\uDC0E'), stop]), text: '🐎' },
  'half a character': { ...whole([say('a\uD83D'), stop]), text: 'a\uFFFD' },
};
