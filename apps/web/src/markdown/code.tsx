/**
 * A code block: one text node from its first character on, a button that copies it, and inks once it is complete.
 */
import { useEffect, useRef, type ReactNode, type RefObject } from 'react';
import { CopyButton } from '../ui/copy-button.tsx';
import { highlight, paint } from './highlighter.ts';
import { languageOf, nameOf } from './language-names.ts';

export interface CodeProps {
  readonly text: string;
  /** A fence's info string. */
  readonly language: string;
  readonly isComplete: boolean;
}

export function Code({ text, language, isComplete }: CodeProps): ReactNode {
  const code = useRef<HTMLElement>(null);
  useInks(code, text, language, isComplete);
  return (
    <figure className="code">
      <figcaption className="code-head">
        <span className="code-language">{nameOf(language) === '' ? 'text' : nameOf(language)}</span>
        <CopyButton text={text} label="Copy code" />
      </figcaption>
      {/* Scrolls sideways, by keyboard too. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <pre className="code-body" tabIndex={0}>
        <code ref={code}>{text}</code>
      </pre>
    </figure>
  );
}

/** H2: painted while it is near the screen. */
function useInks(code: RefObject<HTMLElement | null>, text: string, info: string, isComplete: boolean): void {
  useEffect(() => {
    const language = languageOf(info);
    const element = code.current;
    if (element === null || language === undefined || !isComplete) return undefined;
    let wipe: (() => void) | undefined;
    let isNear = false;
    const observer = new IntersectionObserver(
      (entries) => {
        isNear = entries.at(-1)?.isIntersecting === true;
        if (!isNear) wipe = void wipe?.();
        else
          void highlight(text, language).then((spans) => {
            const node = element.firstChild;
            if (isNear && wipe === undefined && node instanceof Text) wipe = paint(node, spans);
          });
      },
      { rootMargin: '400px' },
    );
    observer.observe(element);
    return () => {
      isNear = false;
      observer.disconnect();
      wipe?.();
    };
  }, [code, text, info, isComplete]);
}
