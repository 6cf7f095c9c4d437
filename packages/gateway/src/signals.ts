/**
 * SIGTERM and SIGINT end a gateway in order; a second one ends the process at once.
 */
import type { RunningGateway } from './server.ts';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** @returns resolves when the gateway is closed after a signal. */
export function closeOnSignals(gateway: Pick<RunningGateway, 'close'>): Promise<void> {
  return new Promise((resolve, reject) => {
    let asked = false;
    for (const signal of SIGNALS)
      process.on(signal, () => {
        // Whoever asks twice does not want to wait.
        if (asked) process.exit(1);
        asked = true;
        gateway.close().then(resolve, reject);
      });
  });
}
