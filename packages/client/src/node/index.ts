export { nodeTransport, type NodeTransportOptions } from './http-wire.ts';
