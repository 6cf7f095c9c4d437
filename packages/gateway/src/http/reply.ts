/**
 * What a route answers: a value that says what happened. Which status code that is, only `respond.ts` knows.
 */
import type { ServerResponse } from 'node:http';
import type { Fault } from '@holdfast/protocol';

export type Headers = Readonly<Record<string, string>>;

export type Reply =
  | { readonly kind: 'ok' | 'created' | 'accepted'; readonly body: unknown; readonly headers?: Headers }
  /** Done, and there is nothing to say. */
  | { readonly kind: 'empty'; readonly headers?: Headers }
  | { readonly kind: 'text'; readonly mediaType: string; readonly text: string; readonly headers?: Headers }
  | {
      readonly kind: 'bytes';
      readonly mediaType: string;
      readonly bytes?: number;
      /** What it reads from is opened when the first chunk is asked for: a HEAD asks for none. */
      readonly chunks: AsyncIterable<Uint8Array>;
      readonly headers?: Headers;
    }
  /** The file is there and unchanged. */
  | { readonly kind: 'unchanged'; readonly headers: Headers }
  /** An event stream, unless it says what else: its head is sent, then `open` owns the response. */
  | {
      readonly kind: 'stream';
      readonly mediaType?: string;
      readonly headers?: Headers;
      open(outgoing: ServerResponse): void;
    }
  /** Working, but not to be sent traffic. */
  | { readonly kind: 'unready'; readonly body: unknown }
  | { readonly kind: 'fault'; readonly fault: Fault; readonly headers?: Headers };

export const ok = (body: unknown): Reply => ({ kind: 'ok', body });
/** JSON that is bytes already: those of all who are sent the same are one buffer, for a stream is not copied. */
export const json = (bytes: Uint8Array): Reply => ({
  kind: 'bytes',
  mediaType: 'application/json; charset=utf-8',
  bytes: bytes.length,
  chunks: only(bytes),
});
export const created = (body: unknown): Reply => ({ kind: 'created', body });
export const accepted = (body: unknown): Reply => ({ kind: 'accepted', body });
export const empty: Reply = { kind: 'empty' };
export const failed = (fault: Fault): Reply => ({ kind: 'fault', fault });

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
