/**
 * The agents that the configuration asks for: the rehearsal always, a model where one is named.
 *
 * 1. The model is the default where there is one; `HOLDFAST_AGENT` names another.
 * 2. Tools exist only inside a workspace that was named; each asks before it runs unless it is listed as allowed.
 */
import { createToolbox, openAiAgent, readFileTool, rehearsalAgent, shellTool, type Toolbox } from '@holdfast/agents';
import { fault, FaultError } from '@holdfast/protocol';
import type { Agent } from '@holdfast/session';
import type { Config } from './config-table.ts';
import type { Environment } from './config.ts';

export interface OpenedAgents {
  readonly agents: readonly Agent[];
  readonly defaultAgent: string;
}

export function openAgents(config: Pick<Config, 'agent' | 'model' | 'workspace'>, env: Environment): OpenedAgents {
  const toolbox = openToolbox(config, env);
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
  return { agents, defaultAgent: chooseDefault(agents, config.agent) };
}

export function chooseDefault(agents: readonly Agent[], wanted: string | undefined): string {
  const names = agents.map(({ name }) => name);
  const chosen = wanted ?? names[0];
  if (chosen !== undefined && names.includes(chosen)) return chosen;
  throw new FaultError(
    fault('invalid-config', `HOLDFAST_AGENT is '${chosen}', which is no agent here. There are: ${names.join(', ')}.`),
  );
}

function openToolbox({ workspace, model }: Pick<Config, 'model' | 'workspace'>, env: Environment): Toolbox | undefined {
  if (workspace === undefined) return undefined;
  const tools = [readFileTool({ root: workspace }), shellTool({ root: workspace, env })];
  const known = tools.map(({ name }) => name);
  const unknown = model.tools.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new FaultError(
      fault(
        'invalid-config',
        `HOLDFAST_MODEL_TOOLS allows '${unknown}', which is no tool. There are: ${known.join(', ')}.`,
      ),
    );
  return createToolbox({ tools, allowed: model.tools });
}
