/** How long to wait after so many failures in a row: twice as long each time, up to the cap. The jitter is the caller's. */
export const backoffMs = (failures: number, baseMs: number, capMs: number): number =>
  Math.min(capMs, baseMs * 2 ** failures);
