/**
 * Keeps a scroller at its end while it is read there, and leaves it alone otherwise.
 *
 * S1. Only the person lets go (scrolling up) and takes hold again (reaching the end, or `jump`). What grows, shrinks or
 *     settles never changes which of the two it is.
 * S2. While held, the end is reached in the same frame in which the content grew: before it is painted.
 */
import { useCallback, useEffect, useRef, useState, type RefObject } from 'react';

const END_PX = 32;

export interface StickToEnd {
  readonly scroller: RefObject<HTMLDivElement | null>;
  readonly content: RefObject<HTMLDivElement | null>;
  readonly isHeld: boolean;
  readonly jump: () => void;
}

export function useStickToEnd(): StickToEnd {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const held = useRef(true);
  const [isHeld, setHeld] = useState(true);

  const hold = useCallback((isHeld: boolean) => {
    held.current = isHeld;
    setHeld(isHeld);
  }, []);
  const jump = useCallback(() => {
    hold(true);
    toEnd(scroller.current);
  }, [hold]);

  useEffect(() => {
    const box = scroller.current;
    const inside = content.current;
    if (box === null || inside === null) return undefined;
    const watch = watchPerson(box, hold);
    const observer = new ResizeObserver(() => {
      if (held.current) toEnd(box);
    });
    observer.observe(inside);
    observer.observe(box);
    return () => {
      watch();
      observer.disconnect();
    };
  }, [hold]);

  return { scroller, content, isHeld, jump };
}

/** S1. @returns the end of it. */
function watchPerson(box: HTMLElement, hold: (isHeld: boolean) => void): () => void {
  let lastTop = box.scrollTop;
  let lastHeight = box.scrollHeight;
  const onScroll = (): void => {
    const { scrollTop, scrollHeight, clientHeight } = box;
    const isAtEnd = scrollHeight - clientHeight - scrollTop < END_PX;
    // Content that shrank pushes up as well; that was nobody's wish.
    const wentUp = scrollTop < lastTop - 1 && scrollHeight >= lastHeight;
    if (isAtEnd) hold(true);
    else if (wentUp) hold(false);
    lastTop = scrollTop;
    lastHeight = scrollHeight;
  };
  // Before it moves: else the next frame's growth would pull it back again.
  const onWheel = (event: WheelEvent): void => {
    if (event.deltaY < 0 && box.scrollTop > 0 && box.scrollHeight > box.clientHeight) hold(false);
  };
  box.addEventListener('scroll', onScroll, { passive: true });
  box.addEventListener('wheel', onWheel, { passive: true });
  return () => {
    box.removeEventListener('scroll', onScroll);
    box.removeEventListener('wheel', onWheel);
  };
}

const toEnd = (box: HTMLElement | null): void => {
  if (box !== null) box.scrollTop = box.scrollHeight;
};
