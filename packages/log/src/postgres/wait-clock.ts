/** Waiting on a real server takes real time: the one place of this store that knows a timer. */

export const monotonicMs = (): number => performance.now();

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref());

/** Calls `run` every `ms`, each time after the last one has ended. @returns stop */
export function every(ms: number, run: () => Promise<void>): () => void {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const plan = (): void => {
    if (stopped) return;
    timer = setTimeout(() => void run().finally(plan), ms);
    timer.unref();
  };
  plan();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
