/**
 * Highlights code, away from the page: grammars are regular expressions over whole texts, and one of them can take long.
 *
 * In: `{ id, code, language }`. Out: `{ id, spans }`, where spans are triples of start, end and ink, without the plain ones.
 */
import { createHighlighterCore, type HighlighterCore } from 'shiki/core';
import { createJavaScriptRegexEngine } from 'shiki/engine/javascript';
import { INK_THEME, inkOf } from './inks.ts';
import type { Language } from './language-names.ts';
import { LANGUAGES } from './languages.ts';

export interface HighlightRequest {
  readonly id: number;
  readonly code: string;
  readonly language: Language;
}
export interface HighlightReply {
  readonly id: number;
  readonly spans: Uint32Array;
}

/** A line that is longer stays plain. */
const LINE_CHARS_MAX = 2_000;
const TIME_LIMIT_MS = 500;

const highlighter: Promise<HighlighterCore> = createHighlighterCore({
  themes: [INK_THEME],
  langs: [],
  engine: createJavaScriptRegexEngine({ forgiving: true }),
});

addEventListener('message', ({ data }: MessageEvent<HighlightRequest>) => {
  void answer(data);
});

async function answer({ id, code, language }: HighlightRequest): Promise<void> {
  const spans = await highlight(code, language).catch(() => new Uint32Array());
  const reply: HighlightReply = { id, spans };
  postMessage(reply);
}

async function highlight(code: string, language: Language): Promise<Uint32Array> {
  const shiki = await highlighter;
  if (!shiki.getLoadedLanguages().includes(language)) await shiki.loadLanguage(LANGUAGES[language]());
  const { tokens } = shiki.codeToTokens(code, {
    lang: language,
    theme: 'inks',
    tokenizeMaxLineLength: LINE_CHARS_MAX,
    tokenizeTimeLimit: TIME_LIMIT_MS,
  });
  const spans = tokens.flat().flatMap(({ offset, content, color }) => {
    const ink = inkOf(color);
    return ink === 0 || content.trim() === '' ? [] : [offset, offset + content.length, ink];
  });
  return new Uint32Array(spans);
}
