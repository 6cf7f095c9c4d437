/**
 * The Tool port, and the toolbox that an agent is given.
 *
 * 1. A tool parses its own input: `open` gives a call that can be shown to a person and run, or says what is wrong with the
 *    input in words that a model can act on.
 * 2. What `title` and `detail` say is what will happen and what is not promised: a person decides by them.
 * 3. `run` yields output as it comes. It heeds the signal, and when its generator ends, by whatever way, nothing that it
 *    started is left.
 */
import type { ApprovalRight } from '@holdfast/protocol';
import type { RunContext } from '@holdfast/session';
import { z } from 'zod';

export interface ToolSpec {
  readonly name: string;
  /** For the model. */
  readonly description: string;
  /** JSON schema of the input. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

export type ToolContext = Pick<RunContext, 'signal' | 'clock'>;

/** `note` is added to the output: an exit code, or why there is none. */
export interface ToolEnd {
  readonly ok: boolean;
  readonly note?: string;
}

export interface ToolCall {
  readonly title: string;
  readonly detail: string;
  run(context: ToolContext): AsyncGenerator<string, ToolEnd, void>;
}

export type OpenedCall =
  | { readonly kind: 'call'; readonly call: ToolCall }
  | { readonly kind: 'invalid'; readonly reason: string };

export interface Tool extends ToolSpec {
  /** The right of a subject that allows a call. Default: `tools`. */
  readonly needs?: ApprovalRight;
  /** Where the caller runs it: the turn waits for its `tool-result` instead of running anything here. */
  readonly isCallers?: boolean;
  readonly open: (input: unknown) => OpenedCall;
}

export interface Toolbox {
  readonly tools: readonly Tool[];
  find(name: string): Tool | undefined;
  /** Needs no person's approval, by configuration. */
  isAllowed(name: string): boolean;
}

export interface ToolboxOptions {
  readonly tools: readonly Tool[];
  /** Names of tools that run without asking. Empty: every tool asks. */
  readonly allowed?: readonly string[];
}

/** @throws where two tools have one name, or `allowed` names none: a misspelt permission must not pass in silence. */
export function createToolbox({ tools, allowed = [] }: ToolboxOptions): Toolbox {
  const byName = new Map(tools.map((tool) => [tool.name, tool]));
  if (byName.size < tools.length) throw new Error('Two tools have the same name; a model could not tell them apart.');
  const unknown = allowed.find((name) => !byName.has(name));
  if (unknown !== undefined) {
    throw new Error(
      `The tool “${unknown}” is allowed but does not exist. Known tools: ${[...byName.keys()].join(', ')}.`,
    );
  }
  return { tools, find: (name) => byName.get(name), isAllowed: (name) => allowed.includes(name) };
}

/** A tool whose input is described once, by zod: the check and the model's JSON schema come of it. */
export function defineTool<T>(definition: {
  readonly name: string;
  readonly description: string;
  readonly needs?: ApprovalRight;
  readonly input: z.ZodType<T>;
  readonly open: (input: T) => ToolCall;
}): Tool {
  const { name, description, needs, input: schema, open } = definition;
  const { $schema: _dialect, ...parameters } = z.toJSONSchema(schema);
  return {
    name,
    description,
    ...(needs === undefined ? {} : { needs }),
    parameters,
    open: (input) => {
      const parsed = schema.safeParse(input);
      if (parsed.success) return { kind: 'call', call: open(parsed.data) };
      return { kind: 'invalid', reason: `The input does not fit: ${z.prettifyError(parsed.error)}` };
    },
  };
}

/** A tool that the caller of the API runs: its result comes as a `tool-result` command. */
export function callerTool(spec: ToolSpec): Tool {
  return {
    ...spec,
    isCallers: true,
    open: () => ({ kind: 'invalid', reason: 'This tool is run by the caller.' }),
  };
}
