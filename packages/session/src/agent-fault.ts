/**
 * What an agent does wrong, told twice: to its author in the log, with the stack and the cure, and to the person in a sentence that
 * holds nothing of the program.
 *
 * 1. A `FaultError` is a failure that the agent means: its kind and its words are the turn's. Everything else is a bug.
 * 2. An end that is not understood is no success, and an event that is not understood is not written: the turn fails (M1).
 */
import { FaultError } from '@holdfast/protocol';
import type { Agent, AgentEvent, RunEnd } from './agent.ts';

/** The text fields that each event needs. */
const EVENTS: Readonly<Record<AgentEvent['type'], readonly string[]>> = {
  text: ['text'],
  thinking: ['text'],
  'tool-request': ['toolId', 'name'],
  'tool-start': ['toolId'],
  'tool-output': ['toolId', 'text'],
  'tool-end': ['toolId', 'output'],
  prompt: ['promptId', 'kind', 'title'],
  data: ['name'],
  file: ['hash', 'name', 'mediaType'],
  'provider-state': ['provider'],
  'context-trim': [],
  usage: [],
};

const OUTCOMES: readonly string[] = ['completed', 'parked', 'limit', 'failed'] satisfies RunEnd['outcome'][];

/** @throws TypeError with the cure where `run` gave no generator. */
export function startAgent(agent: Agent, ...args: Parameters<Agent['run']>): ReturnType<Agent['run']> {
  const events: Partial<ReturnType<Agent['run']>> | undefined = agent.run(...args);
  if (typeof events?.next !== 'function')
    throw new TypeError(
      `run() of the agent "${agent.name}" gives no generator: write it as \`async *run(input, context)\`.`,
    );
  return events as ReturnType<Agent['run']>;
}

/** @throws TypeError with the cure where it is no event. Rule 2. */
export function checkEvent<Event extends AgentEvent>(event: Event): Event {
  const { type } = Object(event) as Partial<AgentEvent>;
  const needed = type !== undefined && Object.hasOwn(EVENTS, type) ? EVENTS[type] : undefined;
  if (needed === undefined)
    throw new TypeError(
      `The agent yielded ${shown(event)}, which is no event. There are: ${Object.keys(EVENTS).join(', ')}.`,
    );
  const missing = needed.find((field) => typeof (event as unknown as Record<string, unknown>)[field] !== 'string');
  if (missing !== undefined) throw new TypeError(`The agent yielded ${shown(event)}: its \`${missing}\` is no text.`);
  return event;
}

/** @throws TypeError with the cure where the agent did not say how its turn ended. Rule 2. */
export function checkEnd(end: RunEnd | undefined): RunEnd {
  if (end !== undefined && OUTCOMES.includes(Object(end).outcome)) return end;
  throw new TypeError(
    `The agent returned ${shown(end)}, which does not say how the turn ended. End run() with \`return { outcome: 'completed' }\`.`,
  );
}

/** What the person reads. */
export function endOfThrow(error: unknown, agent: string): Extract<RunEnd, { outcome: 'failed' }> {
  if (error instanceof FaultError) return { outcome: 'failed', fault: error.fault.kind, reason: error.fault.detail };
  const reason = `The agent "${agent}" made an error and could not go on. The gateway's log says which.`;
  return { outcome: 'failed', fault: 'agent-crashed', reason };
}

function shown(value: unknown): string {
  try {
    return (JSON.stringify(value) ?? String(value)).slice(0, 200);
  } catch {
    return String(value);
  }
}
