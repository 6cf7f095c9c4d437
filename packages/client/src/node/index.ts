export { nodeTransport, type NodeTransportOptions } from './http-wire.ts';
export { fileOutbox } from './file-outbox.ts';
