/**
 * A field of the configuration: how its value is read from a file or the environment, and what to say where it is wrong.
 *
 * 1. A field reads `unknown` and returns a value or a sentence: what it is, what it may be. Nothing throws.
 * 2. The environment knows text alone, so every kind reads its value from text too.
 */

export type Read<T> = { readonly kind: 'value'; readonly value: T } | { readonly kind: 'wrong'; readonly why: string };

export interface Field<T> {
  /** The variable; its place in the file is the key in the table of fields. */
  readonly env: string;
  readonly fallback: T;
  /** What it does, in one line, for the help and the documents. */
  readonly about: string;
  /** Never shown, never logged. */
  readonly secret: boolean;
  read(raw: unknown): Read<T>;
}

const value = <T>(value: T): Read<T> => ({ kind: 'value', value });
const wrong = (why: string): { readonly kind: 'wrong'; readonly why: string } => ({ kind: 'wrong', why });
const show = (raw: unknown): string => (typeof raw === 'string' ? `'${raw}'` : JSON.stringify(raw));

interface About {
  readonly env: string;
  readonly about: string;
  readonly secret?: boolean;
}

function field<T>({ env, about, secret = false }: About, fallback: T, read: (raw: unknown) => Read<T>): Field<T> {
  return { env, about, secret, fallback, read };
}

export const textField = (about: About, fallback: string | undefined): Field<string | undefined> =>
  field(about, fallback, (raw) =>
    typeof raw === 'string'
      ? value(raw === '' ? fallback : raw)
      : wrong(`${about.secret === true ? '' : `is ${show(raw)}, which `}is no text.`),
  );

export const wordField = <const T extends string>(about: About, words: readonly T[], fallback: T): Field<T> =>
  field(about, fallback, (raw) => {
    const word = words.find((known) => known === raw);
    return word === undefined ? wrong(`is ${show(raw)}. Set it to one of ${words.join(', ')}.`) : value(word);
  });

export const numberField = (about: About, fallback: number, min: number, max: number): Field<number> =>
  field(about, fallback, (raw) => {
    const number = typeof raw === 'string' && /^-?\d+$/.test(raw.trim()) ? Number(raw) : raw;
    return Number.isSafeInteger(number) && (number as number) >= min && (number as number) <= max
      ? value(number as number)
      : wrong(`is ${show(raw)}. Set it to a whole number from ${min} to ${max}.`);
  });

export const flagField = (about: About, fallback: boolean): Field<boolean> =>
  field(about, fallback, (raw) => {
    if (raw === true || raw === '1' || raw === 'true') return value(true);
    if (raw === false || raw === '0' || raw === 'false') return value(false);
    return wrong(`is ${show(raw)}. Set it to 1 or 0.`);
  });

/** In the environment: separated by commas. */
export const listField = (about: About, fallback: readonly string[]): Field<readonly string[]> =>
  field(about, fallback, (raw) => {
    if (typeof raw === 'string')
      return value(
        raw
          .split(',')
          .map((item) => item.trim())
          .filter((item) => item !== ''),
      );
    return Array.isArray(raw) && raw.every((item) => typeof item === 'string')
      ? value(raw as readonly string[])
      : wrong(`is ${show(raw)}. Set it to a list of texts.`);
  });

/** Refines another kind by a check of its own. */
export const checked = <T, U>(of: Field<T>, fallback: U, check: (found: T) => Read<U>): Field<U> => ({
  ...of,
  fallback,
  read: (raw) => {
    const found = of.read(raw);
    return found.kind === 'wrong' ? found : check(found.value);
  },
});

export const urlField = (about: About, protocols: readonly string[]): Field<URL | undefined> =>
  checked(textField(about, undefined), undefined, (text) => {
    if (text === undefined) return value(undefined);
    const url = URL.canParse(text) ? new URL(text) : undefined;
    return url !== undefined && protocols.includes(url.protocol)
      ? value(url)
      : wrong(
          `is ${about.secret === true ? 'no URL' : show(text)}. Set it to a URL that begins with ${protocols.map((name) => `${name}//`).join(' or ')}.`,
        );
  });

// ── names that are nearly right ─────────────────────────────────────────────────────────────────────────────────────

/** The known name with the fewest edits, where it is near enough to have been meant. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const ranked = known.map((other) => ({ other, edits: editsBetween(name.toLowerCase(), other.toLowerCase()) }));
  const best = ranked.toSorted((a, b) => a.edits - b.edits)[0];
  return best !== undefined && best.edits <= Math.max(2, Math.ceil(name.length / 3)) ? best.other : undefined;
}

function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
