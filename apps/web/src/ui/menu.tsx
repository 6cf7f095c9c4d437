/**
 * A button with a menu: arrow keys, Home and End move, Enter chooses, Escape and a click outside close.
 *
 * The platform's popover brings the top layer, the closing and the way back of the focus; what is added here is the
 * place beside the button and the roving focus of the ARIA menu pattern.
 */
import { useId, useRef, type KeyboardEvent, type ReactNode } from 'react';
import { Icon, type IconName } from './icons.tsx';

export interface MenuItem {
  readonly label: string;
  readonly icon: IconName;
  readonly onChoose: () => void;
  readonly isDangerous?: boolean;
}

export interface MenuProps {
  readonly label: string;
  readonly items: readonly MenuItem[];
  readonly className?: string;
}

const GAP_PX = 4;

export function Menu({ label, items, className = '' }: MenuProps): ReactNode {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const menu = useRef<HTMLDivElement>(null);

  const open = (): void => {
    if (button.current === null || menu.current === null) return;
    menu.current.showPopover();
    placeBeside(button.current, menu.current);
    focusItem(menu.current, 0);
  };
  const close = (): void => {
    menu.current?.hidePopover();
    button.current?.focus();
  };
  const choose = (item: MenuItem): void => {
    close();
    item.onChoose();
  };

  return (
    <>
      <button
        ref={button}
        type="button"
        className={`icon-button ${className}`}
        title={label}
        aria-label={label}
        aria-haspopup="menu"
        aria-controls={id}
        onClick={open}
      >
        <Icon name="more" />
      </button>
      <div
        ref={menu}
        id={id}
        role="menu"
        tabIndex={-1}
        popover="auto"
        className="menu"
        aria-label={label}
        onKeyDown={(event) => moveFocus(event, menu.current)}
      >
        {items.map((item) => (
          <button
            key={item.label}
            type="button"
            role="menuitem"
            tabIndex={-1}
            className={item.isDangerous === true ? 'menu-item is-dangerous' : 'menu-item'}
            onClick={() => choose(item)}
          >
            <Icon name={item.icon} size={16} />
            {item.label}
          </button>
        ))}
      </div>
    </>
  );
}

/** Below the button, or above it where there is no room; never out of the window. */
function placeBeside(button: HTMLElement, menu: HTMLElement): void {
  const at = button.getBoundingClientRect();
  const size = menu.getBoundingClientRect();
  const below = at.bottom + GAP_PX;
  const top = below + size.height <= innerHeight ? below : Math.max(GAP_PX, at.top - GAP_PX - size.height);
  const left = Math.max(GAP_PX, Math.min(at.right - size.width, innerWidth - size.width - GAP_PX));
  menu.style.top = `${top}px`;
  menu.style.left = `${left}px`;
}

function moveFocus(event: KeyboardEvent, menu: HTMLElement | null): void {
  if (menu === null) return;
  const count = menu.children.length;
  const at = [...menu.children].indexOf(document.activeElement as Element);
  const to = { ArrowDown: (at + 1) % count, ArrowUp: (at - 1 + count) % count, Home: 0, End: count - 1 }[event.key];
  if (event.key === 'Tab') menu.hidePopover();
  if (to === undefined) return;
  event.preventDefault();
  focusItem(menu, to);
}

const focusItem = (menu: HTMLElement, index: number): void => {
  const item = menu.children[index];
  if (item instanceof HTMLElement) item.focus();
};
