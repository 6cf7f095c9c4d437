/**
 * Keeps what is read in place when older messages come in above it.
 *
 * Browsers anchor by themselves, but not at the very top, where one is when one reads upwards, and not all of them do. A class,
 * because only a class can look at the page just before it changes.
 */
import { Component, type ReactNode, type RefObject } from 'react';

export interface KeepPlaceProps {
  readonly scroller: RefObject<HTMLElement | null>;
  /** The key of the first row: when it changes, something came in above. */
  readonly first: string | undefined;
  readonly children: ReactNode;
}

interface Place {
  readonly row: Element;
  readonly top: number;
}

export class KeepPlace extends Component<KeepPlaceProps> {
  override getSnapshotBeforeUpdate({ first }: KeepPlaceProps): Place | null {
    const box = this.props.scroller.current;
    if (box === null || first === undefined || first === this.props.first) return null;
    const edge = box.getBoundingClientRect().top;
    const row = [...box.querySelectorAll('[data-message]')].find((each) => each.getBoundingClientRect().bottom > edge);
    return row === undefined ? null : { row, top: row.getBoundingClientRect().top };
  }

  override componentDidUpdate(_props: KeepPlaceProps, _state: unknown, place?: Place | null): void {
    const box = this.props.scroller.current;
    if (box === null || !place?.row.isConnected) return;
    box.scrollTop += place.row.getBoundingClientRect().top - place.top;
  }

  override render(): ReactNode {
    return this.props.children;
  }
}
