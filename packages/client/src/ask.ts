/**
 * One request and its whole answer, for what is small and wanted at once. Streams are `byte-stream.ts`.
 *
 * 1. It settles once: with the answer, whatever its status, or with a `FaultError`. Cancelling ends the request at once.
 * 2. Memory is bounded: a larger answer is a fault, and of an error's body no more than `ERROR_BYTES_MAX` is read.
 */
import { fault, FaultError, type Fault } from '@holdfast/protocol/fault';

import { CANCELLED, onAbort } from './authorize.ts';
import type { Connection } from './transport.ts';
import type { ResponseHeaders, WireRequest } from './wire.ts';

const MIB = 1024 * 1024;
const BYTES_MAX = 16 * MIB;
export const ERROR_BYTES_MAX = 65_536;

export interface WholeAnswer {
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly text: string;
}

/** @throws FaultError `cancelled`, `disconnected`, `body-too-large`. */
export function ask(connection: Connection, request: WireRequest, signal: AbortSignal): Promise<WholeAnswer> {
  return new Promise((resolve, reject) => {
    const decoder = new TextDecoder();
    let head: Omit<WholeAnswer, 'text'> | undefined;
    let text = '';
    let bytesLeft = BYTES_MAX;
    let unlisten: (() => void) | undefined;

    const fail = (why: Fault): void => {
      unlisten?.();
      reject(new FaultError(why));
    };
    const end = (): void => {
      if (head === undefined) return fail(fault('disconnected', 'The response ended before its head.'));
      unlisten?.();
      resolve({ ...head, text: text + decoder.decode() });
    };
    const exchange = connection.send(request, {
      head(status, headers) {
        head = { status, headers };
        if (!isSuccess(status)) bytesLeft = ERROR_BYTES_MAX;
      },
      chunk(bytes) {
        text += decoder.decode(bytes.subarray(0, bytesLeft), { stream: true });
        bytesLeft -= bytes.length;
        if (bytesLeft >= 0) return;
        exchange.cancel();
        if (head !== undefined && !isSuccess(head.status)) end();
        else fail(fault('body-too-large', `The answer has more than ${BYTES_MAX} bytes.`));
      },
      end,
      fail,
    });
    unlisten = onAbort(signal, () => {
      exchange.cancel();
      fail(CANCELLED);
    });
  });
}

export const isSuccess = (status: number): boolean => status >= 200 && status < 300;
