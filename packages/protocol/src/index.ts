export * from './cursor.ts';
export * from './entry.ts';
export * from './fault.ts';
export * from './fold.ts';
export * from './ids.ts';
export * from './judge.ts';
export * from './sse.ts';
export * from './view.ts';
