export * from './agent.ts';
export { btwEventOf } from './btw-stream.ts';
export * from './clock.ts';
export { openSessionService, type SessionServiceOptions } from './open.ts';
export * from './service.ts';
export { Grammar } from './grammar.ts';
