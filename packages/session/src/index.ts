export * from './agent.ts';
export * from './clock.ts';
export * from './service.ts';
