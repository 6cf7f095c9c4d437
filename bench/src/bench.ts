/** What a benchmark is: a module that exports `run`. It measures its subject beside a peer or the floor, in the same run. */

export interface BenchOptions {
  /** How long each case may run, about. Default 3. */
  readonly seconds: number;
}

export interface BenchRow {
  readonly case: string;
  readonly figures: Readonly<Record<string, number | string>>;
}

/** A figure that we mean to hold: `atMost` or `atLeast`. */
export interface Goal {
  readonly what: string;
  readonly got: number;
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface BenchResult {
  readonly rows: readonly BenchRow[];
  readonly goals: readonly Goal[];
}

export type Bench = (options: BenchOptions) => Promise<BenchResult>;

export function isMet({ got, atMost = Number.POSITIVE_INFINITY, atLeast = Number.NEGATIVE_INFINITY }: Goal): boolean {
  return got <= atMost && got >= atLeast;
}

/** The p-th percentile (0–100) of numbers in any order; 0 of none. */
export function percentile(numbers: readonly number[], p: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((p / 100) * sorted.length))] ?? 0;
}

export function rounded(value: number, digits = 2): number {
  return Number(value.toFixed(digits));
}

/** A delta of an answer, as it stands in the log. */
export const DELTA: Buffer = Buffer.from(
  JSON.stringify({
    type: 'text-delta',
    turnId: 't_0123456789abcdef',
    messageId: 'a_0123456789abcdef',
    text: 'x'.repeat(60),
  }),
);
