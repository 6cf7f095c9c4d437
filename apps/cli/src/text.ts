/**
 * Other people's text on this person's terminal.
 *
 * 1. It may not move the cursor, colour, hide or reorder anything: a control character is shown as what it is. A command
 *    that asks for approval is read here, so what is on screen must be what would run.
 */

/** C0 without line feed and tab, DEL, C1, and the marks that turn the direction of writing. */
// oxlint-disable-next-line no-control-regex -- these are the signs that are looked for
const CONTROLS = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u200E\u200F\u202A-\u202E\u2066-\u2069]/g;

/** For a terminal. Carriage returns are dropped: with a line feed they say nothing, alone they overwrite. */
export const printable = (text: string): string =>
  text
    .replaceAll('\r', '')
    .replaceAll(CONTROLS, (sign) => `\\u{${(sign.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}}`);

/** As one line of at most so many characters. */
export function oneLine(text: string, charsMax: number): string {
  const line = printable(text.replaceAll(/\s+/g, ' ').trim());
  return line.length <= charsMax ? line : `${line.slice(0, charsMax - 1)}…`;
}

/** The first line has the titles. The last column is as wide as it likes. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_title, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

export const json = (value: unknown): string => `${JSON.stringify(value)}\n`;
