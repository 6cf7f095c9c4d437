/**
 * From a request to an open event stream: a place among the readers, what is put into it, and only then the head.
 *
 * 1. Everything that can be refused is refused before the head, as a proper answer.
 */
import type { Fault } from '@holdfast/protocol';
import type { Principal } from '../auth/principal.ts';
import { failed, type Reply } from '../http/reply.ts';
import type { Reader } from './reader.ts';
import type { Readers } from './readers.ts';

/** An open stream for whatever `fill` puts into it, or the refusal. */
export async function openStream(
  readers: Readers,
  principal: Principal,
  fill: (reader: Reader) => Promise<Fault | undefined>,
  hello?: (reader: Reader) => Readonly<Record<string, unknown>>,
): Promise<Reply> {
  const admission = readers.admit(principal);
  if (admission.kind === 'fault') return failed(admission.fault);
  const { reader } = admission;
  try {
    const refusal = await fill(reader);
    if (refusal !== undefined) {
      readers.abandon(reader);
      return failed(refusal);
    }
  } catch (error) {
    readers.abandon(reader);
    throw error;
  }
  return { kind: 'stream', open: (outgoing) => readers.open(reader, outgoing, hello?.(reader)) };
}
