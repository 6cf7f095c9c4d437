/** Numbers and times as people read them. */

const whole = new Intl.NumberFormat('en');

export const countOf = (count: number, one: string, many: string = `${one}s`): string =>
  `${whole.format(count)} ${count === 1 ? one : many}`;

/** `8.2 KB`, in steps of a thousand. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB'];
  let value = bytes;
  let unit = 0;
  // What would be rounded up to a thousand is one of the next.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(value < 10 ? 2 : 3)} ${units[unit]}`;
}

/** `840 ms`, `3.2 s`, `4 min 12 s`. */
export function durationText(durationMs: number): string {
  if (durationMs < 1_000) return `${Math.round(durationMs)} ms`;
  if (durationMs < 60_000) return `${(durationMs / 1_000).toFixed(1)} s`;
  const seconds = Math.round(durationMs / 1_000);
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const clockTime = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const wholeDate = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

/** Days between two moments as a calendar counts them. */
export function daysBefore(at: number, now: number): number {
  const midnight = (time: number): number => new Date(time).setHours(0, 0, 0, 0);
  return Math.round((midnight(now) - midnight(at)) / 86_400_000);
}

/** `14:05` today, `3 Nov` before. */
export const shortTime = (at: string, now: number): string =>
  (daysBefore(Date.parse(at), now) < 1 ? clockTime : dayOfYear).format(new Date(at));

export const longTime = (at: string): string => wholeDate.format(new Date(at));
