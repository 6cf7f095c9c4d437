export { commandAgent, type CommandConfig } from './command/agent.ts';
export { openAiAgent } from './openai/agent.ts';
export type { OpenAiConfig } from './openai/config.ts';
export { rehearsalAgent, type RehearsalOptions } from './rehearsal/agent.ts';
export { rehearse, type RehearseOptions } from './rehearsal/rehearse.ts';
export { isScene, SCENE_NAMES, SCENES, type SceneName } from './rehearsal/scene.ts';
export { readFileTool, type ReadFileOptions } from './tools/read-file.ts';
export { findSandbox, type Sandbox } from './tools/sandbox.ts';
export { rightOf, shellTool, type Confinement, type ShellOptions } from './tools/shell.ts';
export {
  callerTool,
  createToolbox,
  defineTool,
  type OpenedCall,
  type Tool,
  type Toolbox,
  type ToolboxOptions,
  type ToolCall,
  type ToolContext,
  type ToolEnd,
  type ToolSpec,
} from './tools/tool.ts';
