/**
 * The inks of highlighted code. A theme for shiki that names inks instead of colours: `styles/code.css` gives each a colour
 * for light and for dark, so that switching needs no work at all.
 */
import type { ThemeRegistration } from 'shiki/core';

/** In this order: an ink's number is its place here. 0 is plain. */
export const INKS = [
  'plain',
  'comment',
  'string',
  'number',
  'keyword',
  'function',
  'type',
  'property',
  'punctuation',
  'inserted',
  'deleted',
] as const;
type Ink = (typeof INKS)[number];

const code = (ink: Ink): string => `#0000${INKS.indexOf(ink).toString(16).padStart(2, '0')}`;

/** @returns the ink's number; plain for what is none of ours. */
export const inkOf = (color: string | undefined): number =>
  color !== undefined && /^#0000[\da-f]{2}$/i.test(color) ? Number.parseInt(color.slice(1), 16) : 0;

const SCOPES: Readonly<Record<Exclude<Ink, 'plain'>, readonly string[]>> = {
  comment: ['comment', 'punctuation.definition.comment', 'string.quoted.docstring'],
  string: ['string', 'markup.inline.raw', 'markup.fenced_code', 'constant.other.symbol', 'string.regexp'],
  number: ['constant.numeric', 'constant.language', 'constant.character', 'constant.other', 'support.constant'],
  keyword: [
    'keyword',
    'storage',
    'variable.language',
    'entity.name.tag',
    'markup.heading',
    'keyword.operator.word',
    'keyword.operator.expression',
    'keyword.operator.new',
  ],
  function: ['entity.name.function', 'support.function', 'meta.function-call.generic', 'entity.name.command'],
  type: ['entity.name.type', 'entity.name.class', 'entity.other.inherited-class', 'support.type', 'support.class'],
  property: [
    'support.type.property-name',
    'entity.other.attribute-name',
    'meta.object-literal.key',
    'entity.name.tag.yaml',
    'variable.parameter',
  ],
  punctuation: ['punctuation', 'keyword.operator', 'meta.brace'],
  inserted: ['markup.inserted', 'punctuation.definition.inserted'],
  deleted: ['markup.deleted', 'punctuation.definition.deleted'],
};

export const INK_THEME: ThemeRegistration = {
  name: 'inks',
  type: 'light',
  colors: { 'editor.foreground': code('plain'), 'editor.background': '#ffffff' },
  tokenColors: Object.entries(SCOPES).map(([ink, scope]) => ({
    scope: [...scope],
    settings: { foreground: code(ink as Ink) },
  })),
};
