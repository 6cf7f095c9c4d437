export { openByteStream, type ByteStreamRequest, type ByteStreamResponse, type SafeByteStream } from './byte-stream.ts';
export { createTransport, type Connection, type OwnedConnection, type Transport } from './transport.ts';
export type { Credentials, CredentialsOptions, RefreshOutcome, TokenStore } from './credentials.ts';
export type { EventStream, EventStreamHandlers, EventStreamOptions, Place, StreamState } from './event-stream.ts';
export type { Clock, Hint, Lifecycle, Ports, Random, Timer } from './ports.ts';
