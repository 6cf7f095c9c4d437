import { useCallback, useEffect, useLayoutEffect, useRef, useState, type RefObject } from 'react';
import { keepScrollPlace, type ScrollPlace } from './scroll-place.ts';

export interface UsedScrollPlace {
  readonly scroller: RefObject<HTMLDivElement | null>;
  readonly content: RefObject<HTMLDivElement | null>;
  readonly isHeld: boolean;
  readonly jump: () => void;
  readonly letGo: () => void;
}

/** `first` names the first row: when it changes, something came in or went above. */
export function useScrollPlace(first: string | undefined): UsedScrollPlace {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const place = useRef<ScrollPlace>(undefined);
  const settledFor = useRef(first);
  const [isHeld, setHeld] = useState(true);
  useEffect(() => {
    if (scroller.current === null || content.current === null) return undefined;
    const mine = keepScrollPlace(scroller.current, content.current, setHeld);
    place.current = mine;
    return () => mine.close();
  }, []);
  useLayoutEffect(() => {
    if (settledFor.current !== first) place.current?.settle();
    settledFor.current = first;
  }, [first]);
  const jump = useCallback(() => place.current?.jump(), []);
  const letGo = useCallback(() => place.current?.letGo(), []);
  return { scroller, content, isHeld, jump, letGo };
}
