import { useSyncExternalStore } from 'react';
import type { Readable } from '@holdfast/client';

/** What the SDK holds, as a component reads it. */
export const useReadable = <T>({ subscribe, getSnapshot }: Readable<T>): T =>
  useSyncExternalStore(subscribe, getSnapshot);
