export * from './port.ts';
export { systemClock } from './clock.ts';
export type { Clock } from './clock.ts';
export { historyOf } from './rev.ts';
