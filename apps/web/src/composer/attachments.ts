/**
 * Files on their way into a message: picked, pasted or dropped, uploaded at once, sent along by their hash.
 *
 * 1. An upload belongs to the draft that it was begun in, whatever session is shown when it ends (R72).
 * 2. A file that is larger than `FILE_BYTES_MAX`, and one beyond `PARTS_MAX`, is refused here already, with the limit.
 * 3. Files that are picked together stand in the message as they were picked, whichever is uploaded first.
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
/** Of the protocol. File systems allow a little more. */
const NAME_CHARS_MAX = 200;

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

  /** @param before what ends when the files before it are in place (3). */
  const addOne = async (file: File, before: Promise<void>): Promise<void> => {
    const mine: Uploading = { key, name: shortName(file.name) };
    setRunning((all) => [...all, mine]);
    try {
      const bytes = new Uint8Array(await file.arrayBuffer());
      const mediaType = file.type === '' ? 'application/octet-stream' : file.type;
      const part = await upload(bytes, { name: mine.name, mediaType });
      await before;
      drafts.set(key, { parts: [...drafts.get(key).parts, part] });
    } catch (error) {
      const why = error instanceof FaultError ? faultText(error.fault) : String(error);
      notify({ kind: 'error', text: `${file.name} was not attached. ${why}` });
    } finally {
      setRunning((all) => all.filter((other) => other !== mine));
    }
  };

  const uploading = running.filter((upload) => upload.key === key).map(({ name }) => name);
  return {
    uploading,
    add: (files) => {
      let room = PARTS_MAX - drafts.get(key).parts.length - uploading.length;
      let before = Promise.resolve();
      for (const file of files) {
        const why = refusalOf(file, room);
        if (why !== undefined) {
          notify({ kind: 'error', text: why });
          continue;
        }
        room -= 1;
        before = addOne(file, before);
      }
    },
    remove: (part) => drafts.set(key, { parts: drafts.get(key).parts.filter((other) => other !== part) }),
  };
}

/** 2. */
function refusalOf({ name, size }: File, room: number): string | undefined {
  if (size > FILE_BYTES_MAX)
    return `${shortName(name)} is larger than ${bytesText(FILE_BYTES_MAX)} and was not attached.`;
  return room > 0 ? undefined : `A message takes ${PARTS_MAX} files. The others were not attached.`;
}

/** What tells files apart is at both ends. */
const shortName = (name: string): string =>
  name.length <= NAME_CHARS_MAX
    ? name
    : `${name.slice(0, NAME_CHARS_MAX / 2)}…${name.slice(1 - NAME_CHARS_MAX / 2)}`.toWellFormed();
