/**
 * Files to and from the gateway.
 *
 * 1. A file goes up whole and is tried again as a whole: its address is the hash of its bytes, so twice is once.
 */
import { FaultError } from '@holdfast/protocol/fault';

import type { CallOptions, FilePart, UploadOptions } from './api.ts';
import { openWithCredentials } from './post.ts';
import { faultOfResponse } from './problem.ts';
import type { Requests } from './requests.ts';

/** What a browser says of a file that it does not know is nothing, or no media type. */
const MEDIA_TYPE = /^[\w.+-]+\/[\w.+-]+/;

/** @throws FaultError */
export async function upload(
  requests: Requests,
  content: Uint8Array | Blob,
  { name, mediaType, onProgress, signal }: UploadOptions,
): Promise<FilePart> {
  const isBytes = content instanceof Uint8Array;
  if (!isBytes && typeof (content as Partial<Blob> | undefined)?.arrayBuffer !== 'function')
    throw new TypeError(
      'upload() takes a Uint8Array, a Blob or a File: of an <input type="file">, one of its `files`.',
    );
  const bytes = isBytes ? content : new Uint8Array(await content.arrayBuffer());
  const types = [mediaType, isBytes ? '' : content.type, 'application/octet-stream'];
  const type = types.find((it) => MEDIA_TYPE.test(it ?? '')) ?? '';
  onProgress?.(0, bytes.length);
  const { hash } = await requests.need<{ hash: string }>('POST', '/v1/blobs', { bytes, mediaType: type, signal });
  onProgress?.(bytes.length, bytes.length);
  return {
    type: 'file',
    hash,
    name: name ?? (content as Partial<File>).name ?? 'file',
    mediaType: type,
    bytes: bytes.length,
  };
}

/** @throws FaultError */
export async function download(requests: Requests, hash: string, { signal }: CallOptions): Promise<Blob> {
  const { transport, baseUrl, credentials } = requests.options;
  const url = `${baseUrl}/v1/blobs/${encodeURIComponent(hash)}`;
  const request = { url, ...(signal === undefined ? {} : { signal }) };
  const response = await openWithCredentials(transport.short, request, credentials);
  if (response.status !== 200) throw new FaultError(await faultOfResponse(response));
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  await response.body.each((bytes) => chunks.push(bytes.slice()) > 0);
  return new Blob(chunks, { type: response.headers.get('content-type') ?? '' });
}
