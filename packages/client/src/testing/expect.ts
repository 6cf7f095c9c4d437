/** The little that the suites need of an assertion library, so that they run in a browser as they are. */

export function equal<T>(actual: T, expected: T, what: string): void {
  if (!Object.is(actual, expected)) throw new Error(`${what}: expected ${String(expected)}, got ${String(actual)}`);
}

export function holds(fact: boolean, what: string): void {
  if (!fact) throw new Error(`does not hold: ${what}`);
}
