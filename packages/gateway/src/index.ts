export { loadConfig, configHelp, configOf, type LoadedConfig } from './config.ts';
export type { Config, Limits, StoreConfig } from './config-table.ts';
export { readLocalGateway, type LocalGateway } from './local.ts';
export { confinementNote, openAgents, openConfinement } from './open-agents.ts';
export { createLogger, type Logger } from './logger.ts';
export type { GatewayOptions } from './parts.ts';
export { startGateway, type RunningGateway } from './server.ts';
export { closeOnSignals } from './signals.ts';
