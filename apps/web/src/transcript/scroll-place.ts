/**
 * Where a scroller stands: held at its end while it is read there, and otherwise with what is read in its place, whatever
 * comes, goes, grows or settles above and below.
 *
 * S1. Only the person lets go of the end (scrolling up, or `letGo`) and takes hold of it again (reaching it, or `jump`). What
 *     changes in size never changes which of the two it is, unless all is in sight: then the end is.
 * S2. While it is held, the end is reached in the same frame in which the content grew: before it is painted.
 * S3. While it is not, the first thing in sight stays where it is. Browsers do that too, but not at the very top, where one
 *     is when one reads upwards, and not all of them; so it is done here for all alike (`overflow-anchor: none`).
 */
const END_PX = 32;
/** What can be held on to: a block of text, a card, a message; the smallest that is there. */
const HOLDS = '.markdown > *, .card, [data-message]';

export interface ScrollPlace {
  /** Down, and held there. */
  jump(): void;
  /** What comes now is read from where one stands. */
  letGo(): void;
  /** After a change of what is inside; changes of size are noticed by themselves. */
  settle(): void;
  close(): void;
}

interface Anchor {
  readonly element: Element;
  /** Below the upper edge of the box. */
  readonly top: number;
}

export function keepScrollPlace(box: HTMLElement, inside: Element, onHold: (isHeld: boolean) => void): ScrollPlace {
  let isHeld = true;
  let anchor: Anchor | undefined;
  let lastTop = box.scrollTop;
  let lastHeight = box.scrollHeight;

  const hold = (held: boolean): void => {
    if (held !== isHeld) onHold(held);
    isHeld = held;
    anchor = held ? undefined : anchorIn(box);
  };
  const settle = (): void => {
    if (box.scrollHeight <= box.clientHeight) hold(true);
    if (isHeld) box.scrollTop = box.scrollHeight;
    else if (anchor?.element.isConnected === true) box.scrollTop += topIn(box, anchor.element) - anchor.top;
    else anchor = anchorIn(box);
    lastTop = box.scrollTop;
    lastHeight = box.scrollHeight;
  };
  const onScroll = (): void => {
    const { scrollTop, scrollHeight, clientHeight } = box;
    const isAtEnd = scrollHeight - clientHeight - scrollTop < END_PX;
    // S1: content that shrank pushes up as well; that was nobody's wish.
    const wentUp = scrollTop < lastTop - 1 && scrollHeight >= lastHeight;
    lastTop = scrollTop;
    lastHeight = scrollHeight;
    if (isAtEnd || wentUp || !isHeld) hold(isAtEnd);
  };
  // Before it moves: else the next frame's growth would pull it back again.
  const onWheel = (event: WheelEvent): void => {
    if (event.deltaY < 0 && box.scrollTop > 0) hold(false);
  };

  const observer = new ResizeObserver(settle);
  observer.observe(inside);
  observer.observe(box);
  box.addEventListener('scroll', onScroll, { passive: true });
  box.addEventListener('wheel', onWheel, { passive: true });
  return {
    jump: () => {
      hold(true);
      settle();
    },
    letGo: () => hold(false),
    settle,
    close: () => {
      observer.disconnect();
      box.removeEventListener('scroll', onScroll);
      box.removeEventListener('wheel', onWheel);
    },
  };
}

const topIn = (box: Element, element: Element): number =>
  element.getBoundingClientRect().top - box.getBoundingClientRect().top;

/** The first thing in sight that can be held on to. */
function anchorIn(box: Element): Anchor | undefined {
  const { left, top, width, height } = box.getBoundingClientRect();
  for (let y = top + 2; y < top + height; y += 24) {
    const element = document.elementFromPoint(left + width / 2, y)?.closest(HOLDS);
    if (element != null && box.contains(element)) return { element, top: topIn(box, element) };
  }
  return undefined;
}
