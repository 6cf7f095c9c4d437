/**
 * The contract of `openByteStream` as a suite: every transport runs it, in Node and in a browser, against a real server
 * (`SuiteServer` says what it needs of one). A case throws where the contract is broken.
 */
export { byteStreamCases, type ByteStreamCase, type Facts, type SuiteServer } from './testing/byte-stream-cases.ts';
export { patternBytes, patternHolds } from './testing/pattern.ts';
/** A gateway in memory, for the tests of what you build on the client. */
export { createTestGateway, type TestGateway, type TestGatewayOptions } from './testing/memory-gateway.ts';
export type { BtwScript } from './testing/memory-btw.ts';
export type { Script, Step } from './testing/memory-run.ts';
