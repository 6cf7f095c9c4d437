export { BtwClient, type Btw, type BtwClientOptions, type BtwState } from './btw.ts';
export { SafeByteStream, type ByteStreamRequest, type ByteStreamResponse } from './byte-stream.ts';
export { systemClock } from './clock.ts';
export {
  createCredentials,
  type Credentials,
  type CredentialsOptions,
  type RefreshOutcome,
  type TokenStore,
} from './credentials.ts';
export {
  EventStreamClient,
  type EventStream,
  type EventStreamHandlers,
  type EventStreamOptions,
  type Place,
  type StreamState,
  type StreamTarget,
} from './event-stream.ts';
export { fetchTransport, type FetchOptions } from './fetch-wire.ts';
export { pageLifecycle, silentLifecycle } from './lifecycle.ts';
export type { Clock, Hint, Lifecycle, Ports, Random, Timer } from './ports.ts';
export { openWithCredentials, streamPostWithRetry, type AuthorizedResponse, type PostRequest } from './post.ts';
export { faultOfResponse } from './problem.ts';
export { openByteStream, type OpenByteStream } from './open-byte-stream.ts';
export { openSharedStream, type SharedStreamOptions } from './shared-stream.ts';
export { createTransport, type Connection, type OwnedConnection, type Transport } from './transport.ts';
export type * from './api.ts';
export { createClient } from './client.ts';
export { Attachments, type Attachment } from './attachment.ts';
export {
  startRecovery,
  type Recovery,
  type RecoveryCall,
  type RecoveryOptions,
  type RecoveryProblem,
  type RunStanding,
  type SettledTranscript,
  type SettlePort,
} from './recovery.ts';
export { RecoveryPace } from './recovery-pace.ts';
export type { RecoveryEnd, SettleCounts, SettleState, SettleWait } from './settle.ts';
export { idbOutbox } from './idb-outbox.ts';
export type { Frames } from './frames.ts';
export { memoryOutbox, type OutboxStore, type StoredSend } from './outbox-store.ts';
export {
  TerminalClient,
  type OpenTerminalOptions,
  type Terminal,
  type TerminalChunk,
  type TerminalClientOptions,
} from './terminal.ts';
export { newId } from './new-id.ts';
export { turnIdOf, answerIdOf, parseId } from '@holdfast/protocol/ids';
// What the types above speak of.
export type { ApprovalChoice, InputPart, PromptOutcome, TurnOutcome, Usage, WhenBusy } from '@holdfast/protocol/entry';
export { FaultError, isRetryable, retryOf, type Fault, type FaultKind } from '@holdfast/protocol/fault';
export type { SessionSummary } from '@holdfast/protocol/summary';
export type { TerminalExit, TerminalSize, TerminalStatus } from '@holdfast/protocol/terminal';
export type { ClientId, MessageId, PromptId, SessionId, ToolId, TurnId } from '@holdfast/protocol/ids';
export type {
  KeptBtw,
  Message,
  MessageState,
  OpenPrompt,
  Part,
  PromptPart,
  QueuedMessage,
  RunningTurn,
  ToolPart,
  ToolState,
  TurnNode,
  View,
} from '@holdfast/protocol/view';
