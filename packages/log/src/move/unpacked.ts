/** What a packed page holds. */
import { fault, FaultError } from '@holdfast/protocol';
import { unpackPage } from '../page.ts';
import type { MovedRecord, Part } from './port.ts';

/** @throws FaultError where the page is damaged, with the stream's name */
export function recordsOfPage({ name, first, last, body }: Extract<Part, { kind: 'page' }>): readonly MovedRecord[] {
  try {
    return unpackPage(first, body);
  } catch (cause) {
    const detail = `${name} is damaged: the page of its records ${first} to ${last} cannot be read. Restore a backup of the source.`;
    throw new FaultError(fault('storage-unavailable', detail), { cause });
  }
}
