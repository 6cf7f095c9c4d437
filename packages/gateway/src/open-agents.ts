/**
 * The agents that the configuration asks for: the rehearsal always, a model where one is named.
 *
 * 1. The model is the default where there is one; `HOLDFAST_AGENT` names another.
 * 2. Tools exist only inside a workspace that was named; each asks before it runs unless it is listed as allowed.
 * 3. Without a sandbox a command has the gateway's rights, so only an admin may allow it, unless the operator says otherwise (R90).
 */
import { existsSync, realpathSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  createToolbox,
  findSandbox,
  openAiAgent,
  readFileTool,
  rehearsalAgent,
  shellTool,
  type Confinement,
  type Sandbox,
  type Toolbox,
} from '@holdfast/agents';
import { fault, FaultError } from '@holdfast/protocol';
import type { Agent } from '@holdfast/session';
import type { Config } from './config-table.ts';
import type { Environment } from './config.ts';

export interface OpenedAgents {
  readonly agents: readonly Agent[];
  readonly defaultAgent: string;
  /** Undefined: there is no workspace, so there are no tools. */
  readonly confinement: Confinement | undefined;
}

type ToolConfig = Pick<Config, 'data' | 'model' | 'workspace' | 'sandbox' | 'sandboxNetwork' | 'unsandboxedTools'>;

export function openAgents(config: ToolConfig & Pick<Config, 'agent'>, env: Environment): OpenedAgents {
  const confinement = config.workspace === undefined ? undefined : openConfinement(config, env);
  const toolbox = confinement === undefined ? undefined : openToolbox(config, env, confinement);
  const agents: Agent[] = [rehearsalAgent(toolbox === undefined ? {} : { toolbox })];
  const { url, key, name, system, contextTokens } = config.model;
  if (url !== undefined) {
    const model = openAiAgent({
      baseUrl: url.href,
      ...(key === undefined ? {} : { apiKey: key }),
      ...(name === undefined ? {} : { model: name }),
      ...(system === undefined ? {} : { systemPrompt: system }),
      ...(contextTokens === undefined ? {} : { contextWindow: contextTokens }),
      ...(toolbox === undefined ? {} : { toolbox }),
    });
    agents.unshift(model);
  }
  return { agents, defaultAgent: chooseDefault(agents, config.agent), confinement };
}

export function chooseDefault(agents: readonly Agent[], wanted: string | undefined): string {
  const names = agents.map(({ name }) => name);
  const chosen = wanted ?? names[0];
  if (chosen !== undefined && names.includes(chosen)) return chosen;
  throw new FaultError(
    fault('invalid-config', `HOLDFAST_AGENT is '${chosen}', which is no agent here. There are: ${names.join(', ')}.`),
  );
}

/** What commands of tools may reach on this machine. @throws FaultError if a sandbox is required and there is none */
export function openConfinement(config: ToolConfig, env: Environment): Confinement {
  const sandbox: Sandbox =
    config.sandbox === 'off' ? { kind: 'none', why: 'HOLDFAST_SANDBOX is off.' } : findSandbox(env['PATH']);
  if (config.sandbox === 'required' && sandbox.kind === 'none')
    throw new FaultError(
      fault('invalid-config', `HOLDFAST_SANDBOX is required. ${sandbox.why} Install bubblewrap, or set it to auto.`),
    );
  return {
    sandbox,
    hidden: [config.data],
    network: config.sandboxNetwork,
    allowsUnsandboxed: config.unsandboxedTools,
  };
}

/** One sentence for the start and the doctor: which case it is. */
export function confinementNote({ sandbox, network, allowsUnsandboxed }: Confinement): string {
  if (sandbox.kind === 'bubblewrap')
    return `Commands of tools run in a sandbox (bubblewrap), ${network ? 'with' : 'without'} network.`;
  const allowed = allowsUnsandboxed
    ? 'HOLDFAST_UNSANDBOXED_TOOLS lets everybody with the scope tools allow them.'
    : 'Only an admin may allow them.';
  return `Commands of tools run without a sandbox, with all rights of the user that runs the gateway: ${sandbox.why} ${allowed}`;
}

function openToolbox({ workspace, model, data }: ToolConfig, env: Environment, confinement: Confinement): Toolbox {
  const root = workspaceOf(workspace, data);
  const tools = [readFileTool({ root, hidden: confinement.hidden }), shellTool({ root, env, confinement })];
  const known = tools.map(({ name }) => name);
  const unknown = model.tools.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new FaultError(
      fault(
        'invalid-config',
        `HOLDFAST_MODEL_TOOLS allows '${unknown}', which is no tool. There are: ${known.join(', ')}.`,
      ),
    );
  // What only an admin may allow cannot be allowed for everybody beforehand (R90).
  const allowed = model.tools.filter((name) => tools.find((tool) => tool.name === name)?.needs !== 'admin');
  return createToolbox({ tools, allowed });
}

/** @throws FaultError if there is no such directory, or it is the gateway's own */
function workspaceOf(workspace: string | undefined, data: string): string {
  const place = resolve(workspace ?? '');
  if (statSync(place, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new FaultError(
      fault('invalid-config', `HOLDFAST_WORKSPACE is ${place}, which is no directory. Make it, or name another.`),
    );
  if (realpathSync(place) === (existsSync(data) ? realpathSync(data) : resolve(data)))
    throw new FaultError(
      fault('invalid-config', `HOLDFAST_WORKSPACE is ${place}, the data directory itself. Name another directory.`),
    );
  return place;
}
