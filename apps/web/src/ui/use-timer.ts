/**
 * Time for components. The clock is the client's; nothing here reads another.
 */
import { useEffect, useReducer, useRef, type RefObject } from 'react';
import { systemClock, type Timer } from '@holdfast/client';

/** One delayed call at a time: a new one replaces the last, and none outlives its component. */
export function useDelay(): (delayMs: number, callback: () => void) => void {
  const timer: RefObject<Timer | undefined> = useRef(undefined);
  useEffect(() => () => timer.current?.cancel(), []);
  return (delayMs, callback) => {
    timer.current?.cancel();
    timer.current = systemClock.after(delayMs, callback);
  };
}

/** Renders again every `everyMs` while `isOn`. @returns the time in milliseconds. */
export function useNow(everyMs: number, isOn: boolean = true): number {
  const [, tick] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    if (!isOn) return undefined;
    let timer: Timer | undefined;
    const next = (): void => {
      timer = systemClock.after(everyMs, () => {
        tick();
        next();
      });
    };
    next();
    return () => timer?.cancel();
  }, [everyMs, isOn]);
  return systemClock.now();
}
