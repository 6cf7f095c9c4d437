/**
 * `/scene NAME key=value …`: what the rehearsal is asked to play.
 *
 * 1. A text that is not a scene is a scene too: `hello`, seeded by the text itself.
 * 2. An unknown name, an unknown key or a value out of its range is answered by a text that names what is known, never guessed.
 * 3. A value may stand in quotes: `run="sleep 2; touch done"`; a backslash keeps a double quote inside.
 */
import { FAULT_KINDS, isFaultKind, type FaultKind } from '@holdfast/protocol/fault';
import { hashText } from './random.ts';

export const SCENE_NAMES = [
  'plain',
  'markdown',
  'thinking',
  'tool',
  'approval',
  'question',
  'long',
  'fast',
  'slow-start',
  'fail',
  'deaf',
] as const;
export type SceneName = (typeof SCENE_NAMES)[number];

export interface Scene {
  readonly name: SceneName | 'hello';
  /** How many text tokens the answer has, where the scene's form leaves it free. */
  readonly tokens: number;
  /** Tokens a second; 0: as fast as they are taken. */
  readonly rate: number;
  readonly seed: number;
  /** Before the first token. */
  readonly delayMs: number;
  /** Live output lines of the tool. */
  readonly lines: number;
  /** A real command for the shell tool. */
  readonly run?: string;
  readonly fault: FaultKind;
  /** After this an unanswered prompt expires. */
  readonly deadlineMs?: number;
  /** What was said, where it was no scene. */
  readonly said: string;
}

export type ParsedScene =
  | { readonly kind: 'scene'; readonly scene: Scene }
  | { readonly kind: 'error'; readonly text: string };

interface SceneInfo {
  readonly about: string;
  readonly preset: Partial<Scene>;
  /** Keys beside those that every scene has. */
  readonly keys?: readonly string[];
}

export const SCENES: Readonly<Record<SceneName, SceneInfo>> = {
  plain: { about: 'a few paragraphs', preset: {} },
  markdown: { about: 'headings, code, tables, lists, links, CJK and emoji', preset: { tokens: 400, rate: 120 } },
  thinking: { about: 'thinking first, then an answer', preset: {} },
  tool: {
    about: 'a tool with live output; `run="…"` runs a real command after your approval',
    preset: {},
    keys: ['lines', 'run', 'deadline'],
  },
  approval: { about: 'asks before it uses a tool; the turn waits for you', preset: {}, keys: ['lines', 'deadline'] },
  question: { about: 'asks you something and goes on with your answer', preset: {}, keys: ['deadline'] },
  long: { about: 'a very long answer', preset: { tokens: 20_000, rate: 500 } },
  fast: { about: '5,000 tokens a second', preset: { tokens: 20_000, rate: 5_000 } },
  'slow-start': { about: 'nothing for eight seconds, then an answer', preset: { delayMs: 8_000 } },
  fail: { about: 'breaks off in mid-answer with a typed fault', preset: { tokens: 60 }, keys: ['fault'] },
  deaf: { about: 'does not hear stop; the runtime has to abandon it', preset: { tokens: 400, rate: 20 } },
};

const PRESET = { tokens: 120, rate: 80, seed: 1, delayMs: 200, lines: 6, fault: 'model-error', said: '' } as const;

/** Whole-number keys: the field that each sets and its bounds. */
const NUMBERS: Readonly<Record<string, readonly [field: keyof Scene, min: number, max: number]>> = {
  tokens: ['tokens', 1, 1_000_000],
  rate: ['rate', 0, 100_000],
  seed: ['seed', 0, 0xffff_ffff],
  delay: ['delayMs', 0, 600_000],
  lines: ['lines', 0, 10_000],
  deadline: ['deadlineMs', 1, 31_536_000_000],
};
const COMMON_KEYS = ['tokens', 'rate', 'seed', 'delay'] as const;

export const isScene = (text: string): boolean => /^\s*\/scene(?:\s|$)/.test(text);

export function parseScene(text: string): ParsedScene {
  if (!isScene(text)) {
    return { kind: 'scene', scene: { ...PRESET, name: 'hello', seed: hashText(text), said: text } };
  }
  const [name = '', ...settings] = wordsOf(text.trim().slice('/scene'.length));
  if (!isSceneName(name)) {
    return { kind: 'error', text: `There is no scene ${quoted(name)}. Known scenes: ${SCENE_NAMES.join(', ')}.` };
  }
  let scene: Scene = { ...PRESET, ...SCENES[name].preset, name };
  for (const setting of settings) {
    const change = parseSetting(name, setting);
    if (typeof change === 'string') return { kind: 'error', text: change };
    scene = { ...scene, ...change };
  }
  return { kind: 'scene', scene };
}

/** @returns the changed fields, or what is wrong as a sentence. */
function parseSetting(name: SceneName, setting: string): Partial<Scene> | string {
  const known = [...COMMON_KEYS, ...(SCENES[name].keys ?? [])];
  const at = setting.indexOf('=');
  const key = at < 0 ? setting : setting.slice(0, at);
  const value = at < 0 ? '' : setting.slice(at + 1);
  if (!known.includes(key))
    return `The scene ${quoted(name)} has no key ${quoted(key)}. Known keys: ${known.join(', ')}.`;
  if (key === 'run') return value === '' ? 'The key “run” needs a command: run="echo hello".' : { run: value };
  if (key === 'fault') {
    return isFaultKind(value)
      ? { fault: value }
      : `There is no fault ${quoted(value)}. Known faults: ${FAULT_KINDS.join(', ')}.`;
  }
  const [field, min, max] = NUMBERS[key] ?? ['seed', 0, 0];
  const number = /^\d{1,12}$/.test(value.replaceAll('_', '')) ? Number(value.replaceAll('_', '')) : Number.NaN;
  if (!(number >= min && number <= max))
    return `The key ${quoted(key)} takes a whole number from ${min} to ${max}, not ${quoted(value)}.`;
  return { [field]: number };
}

const isSceneName = (name: string): name is SceneName => Object.hasOwn(SCENES, name);
const quoted = (text: string): string => `“${text.slice(0, 60)}”`;

/** Splits at white space outside of quotes, and takes the quotes away. */
function wordsOf(text: string): readonly string[] {
  const words = text.match(/(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'])+/gs) ?? [];
  return words.map((raw) =>
    raw.replaceAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'/gs, (_whole, double?: string, single?: string) =>
      double === undefined ? (single ?? '') : double.replaceAll(/\\(["\\])/g, '$1'),
    ),
  );
}
