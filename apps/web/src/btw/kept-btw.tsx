import type { ReactNode } from 'react';
import type { KeptBtw } from '@holdfast/protocol/view';
import { Markdown } from '../markdown/markdown.tsx';
import { longTime } from '../ui/words.ts';

/** A side question that was kept, at the answer that it was asked beside. */
export function KeptBtwView({ btw }: { readonly btw: KeptBtw }): ReactNode {
  return (
    <aside className="btw-kept" aria-label="Kept side question" data-btw={btw.btwId}>
      <p className="btw-question" title={`${btw.author}, ${longTime(btw.askedAt)}`}>
        <span className="aside-label">Asked beside</span> {btw.question}
      </p>
      <Markdown text={btw.answer} />
    </aside>
  );
}
