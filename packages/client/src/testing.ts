/**
 * The contract of `openByteStream` as a suite: every transport runs it, in Node and in a browser, against a real server
 * (`SuiteServer` says what it needs of one). A case throws where the contract is broken.
 */
export { byteStreamCases, type ByteStreamCase, type Facts, type SuiteServer } from './testing/byte-stream-cases.ts';
export { patternBytes, patternHolds } from './testing/pattern.ts';
