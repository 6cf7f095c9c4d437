/**
 * Files on their way into a message: picked, pasted or dropped, uploaded at once, sent along by their hash.
 *
 * 1. An upload belongs to the draft that it was begun in, whatever session is shown when it ends (R72).
 * 2. A file that is larger than `FILE_BYTES_MAX` is refused here already, with the limit.
 */
import { useState } from 'react';
import type { InputPart } from '@holdfast/protocol/entry';
import { FaultError } from '@holdfast/protocol/fault';
import { faultText } from '../session/explain.ts';
import { useNotify } from '../ui/notices.tsx';
import { bytesText } from '../ui/words.ts';
import type { DraftKey, Drafts } from './drafts.ts';

export type Upload = (
  bytes: Uint8Array,
  file: { readonly name: string; readonly mediaType: string },
) => Promise<InputPart>;

const FILE_BYTES_MAX = 50_000_000;
const PARTS_MAX = 32;

export interface Attachments {
  /** The names of files that are being uploaded into the draft that is shown. */
  readonly uploading: readonly string[];
  readonly add: (files: Iterable<File>) => void;
  readonly remove: (part: InputPart) => void;
}

interface Uploading {
  readonly key: DraftKey;
  readonly name: string;
}

export function useAttachments(drafts: Drafts, key: DraftKey, upload: Upload): Attachments {
  const [running, setRunning] = useState<readonly Uploading[]>([]);
  const notify = useNotify();

  const addOne = async (file: File): Promise<void> => {
    if (file.size > FILE_BYTES_MAX) {
      notify({ kind: 'error', text: `${file.name} is larger than ${bytesText(FILE_BYTES_MAX)} and was not attached.` });
      return;
    }
    const mine: Uploading = { key, name: file.name };
    setRunning((all) => [...all, mine]);
    try {
      const bytes = new Uint8Array(await file.arrayBuffer());
      const mediaType = file.type === '' ? 'application/octet-stream' : file.type;
      const part = await upload(bytes, { name: file.name, mediaType });
      drafts.set(key, { parts: [...drafts.get(key).parts, part].slice(0, PARTS_MAX) });
    } catch (error) {
      const why = error instanceof FaultError ? faultText(error.fault) : String(error);
      notify({ kind: 'error', text: `${file.name} was not attached. ${why}` });
    } finally {
      setRunning((all) => all.filter((other) => other !== mine));
    }
  };

  return {
    uploading: running.filter((upload) => upload.key === key).map(({ name }) => name),
    add: (files) => {
      for (const file of files) void addOne(file);
    },
    remove: (part) => drafts.set(key, { parts: drafts.get(key).parts.filter((other) => other !== part) }),
  };
}
