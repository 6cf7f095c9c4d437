/**
 * Attached files as parts of a chat message: images as data URLs, texts inline, everything else by name.
 *
 * 1. Bounded: the last `IMAGES_MAX` images of a conversation, each up to `IMAGE_BYTES_MAX`; of each text `TEXT_CHARS_MAX` characters. What
 *    is left out is said.
 */
import type { Message } from '@holdfast/protocol';
import type { RunContext } from '@holdfast/session';
import { shorten } from '../text.ts';
import type { ContentPart } from './wire.ts';

export type LoadedFiles = ReadonlyMap<string, ContentPart>;

type Blobs = Pick<RunContext, 'readBlob'>;
type FilePart = Extract<Message['parts'][number], { type: 'file' }>;

const IMAGES_MAX = 20;
const IMAGE_BYTES_MAX = 10 * 1024 * 1024;
const TEXT_BYTES_MAX = 2 * 1024 * 1024;
const TEXT_CHARS_MAX = 256 * 1024;

const IMAGE = /^image\/(?:png|jpeg|gif|webp)$/;
const TEXT =
  /^(?:text\/.*|application\/(?:json|.*\+json|xml|.*\+xml|yaml|x-yaml|toml|javascript|typescript|x-sh|sql|x-ndjson)|image\/svg\+xml)$/;

export async function loadFiles(
  messages: readonly Message[],
  blobs: Blobs,
  takesImages: boolean,
): Promise<LoadedFiles> {
  const files = messages.flatMap(({ parts }) => parts.filter((part): part is FilePart => part.type === 'file'));
  const shown = new Set(takesImages ? files.filter(isShowable).slice(-IMAGES_MAX) : []);
  const loaded = new Map<string, ContentPart>();
  for (const file of files) {
    const part = await loadFile(file, blobs, shown.has(file));
    if (part !== undefined) loaded.set(file.hash, part);
  }
  return loaded;
}

async function loadFile(file: FilePart, blobs: Blobs, isShown: boolean): Promise<ContentPart | undefined> {
  const { hash, name, bytes } = file;
  const mediaType = baseType(file);
  const isText = TEXT.test(mediaType) && bytes <= TEXT_BYTES_MAX;
  if (!isShown && !isText)
    return text(`[Attached file “${name}” (${mediaType}, ${bytes} bytes); its content is not shown to you.]`);
  const blob = await blobs.readBlob(hash);
  if (blob === undefined) return undefined;
  const buffer = Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength);
  return isShown
    ? { type: 'image_url', image_url: { url: `data:${mediaType};base64,${buffer.toString('base64')}` }, name }
    : text(`Attached file “${name}”:\n\n${shorten(buffer.toString('utf8'), TEXT_CHARS_MAX)}`);
}

const text = (value: string): ContentPart => ({ type: 'text', text: value });

const isShowable = (file: FilePart): boolean => IMAGE.test(baseType(file)) && file.bytes <= IMAGE_BYTES_MAX;

const baseType = ({ mediaType }: FilePart): string => (mediaType.split(';')[0] ?? '').trim().toLowerCase();
