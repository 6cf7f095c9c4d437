/**
 * SIGTERM and SIGINT end a gateway in order; a second one ends the process at once.
 *
 * 1. A supervisor that signals all processes of a service (systemd, timeout) reaches this one twice: itself, and by way of whoever
 *    started it and passes signals on (npm, the launcher). That is one asking.
 */
import { systemClock } from '@holdfast/session';
import type { RunningGateway } from './server.ts';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
/** Rule 1. Nobody means it twice within so little time. */
const ECHO_MS = 300;

/** @returns resolves when the gateway is closed after a signal. */
export function closeOnSignals(gateway: Pick<RunningGateway, 'close'>): Promise<void> {
  return new Promise((resolve, reject) => {
    let askedMs: number | undefined;
    for (const signal of SIGNALS)
      process.on(signal, () => {
        const nowMs = systemClock.monotonicMs();
        // Whoever asks twice does not want to wait.
        if (askedMs !== undefined && nowMs - askedMs > ECHO_MS) process.exit(1);
        if (askedMs !== undefined) return;
        askedMs = nowMs;
        gateway.close().then(resolve, reject);
      });
  });
}
