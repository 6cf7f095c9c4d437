/**
 * The page's icons: strokes on a 24 × 24 grid, in the colour of the text beside them. They are decoration; what they say is
 * said in words by the control that holds them.
 */
import type { ReactNode } from 'react';

const PATHS = {
  alert: 'M12 8v5M12 16.5v.01M10.3 3.9 2.4 17.5A2 2 0 0 0 4.1 20.5h15.8a2 2 0 0 0 1.7-3L13.7 3.9a2 2 0 0 0-3.4 0Z',
  archive: 'M3 4.5h18v4H3zM5 8.5V19a1 1 0 0 0 1 1h12a1 1 0 0 0 1-1V8.5M10 12.5h4',
  attach:
    'm20.5 11.5-8.6 8.6a5.5 5.5 0 0 1-7.8-7.8l8.6-8.6a3.7 3.7 0 0 1 5.2 5.2l-8.6 8.6a1.8 1.8 0 0 1-2.6-2.6l7.9-7.9',
  btw: 'M4 4.5h11v8H8.5L4 16V4.5ZM18.5 9H20v11.5L16.5 17H11v-1.5',
  check: 'm5 12.5 4.5 4.5L19 7.5',
  chevronDown: 'm6 9.5 6 6 6-6',
  chevronLeft: 'm14.5 6-6 6 6 6',
  chevronRight: 'm9.5 6 6 6-6 6',
  close: 'm6 6 12 12M18 6 6 18',
  copy: 'M9 9h10a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H9a1 1 0 0 1-1-1V10a1 1 0 0 1 1-1ZM5 15H4a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1h10a1 1 0 0 1 1 1v1',
  down: 'M12 5v14M6 13l6 6 6-6',
  edit: 'M4 20h4L19.5 8.5a2.8 2.8 0 0 0-4-4L4 16v4ZM13.5 6.5l4 4',
  file: 'M14 3H6a1 1 0 0 0-1 1v16a1 1 0 0 0 1 1h12a1 1 0 0 0 1-1V8l-5-5ZM14 3v5h5',
  menu: 'M4 7h16M4 12h16M4 17h16',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z',
  more: 'M5 12v.01M12 12v.01M19 12v.01',
  pin: 'M9 3.5h6l-.7 6 3.2 3.5v1.5h-11V13l3.2-3.5-.7-6ZM12 14.5V21',
  plus: 'M12 5v14M5 12h14',
  queue: 'M4 6h16M4 11h16M4 16h9',
  refresh: 'M20 11A8 8 0 0 0 5.6 6.6L3 9M3 4v5h5M4 13a8 8 0 0 0 14.4 4.4L21 15M21 20v-5h-5',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM16 16l4.5 4.5',
  send: 'M12 20V5M5.5 11.5 12 5l6.5 6.5',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4',
  system: 'M4 5h16a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1ZM8.5 20h7M12 16v4',
  steer: 'M5 4v7a4 4 0 0 0 4 4h10M14 10l5 5-5 5',
  stop: 'M7.5 7.5h9v9h-9z',
  terminal: 'M4 4.5h16a1 1 0 0 1 1 1v13a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1v-13a1 1 0 0 1 1-1ZM7 9l3 3-3 3M12.5 15.5H17',
  thought: 'M9.5 18.5h5M10 21.5h4M8.5 15.5c-2-1.3-3-3.3-3-5.5a6.5 6.5 0 0 1 13 0c0 2.2-1 4.2-3 5.5v1h-7v-1Z',
  tool: 'M14.5 6.5a4.5 4.5 0 0 1 6-1.5l-3 3 .5 2.5 2.5.5 3-3a4.5 4.5 0 0 1-6.3 5.2L9.5 21a2.1 2.1 0 0 1-3-3l7.6-7.7a4.5 4.5 0 0 1 .4-3.8Z',
  trash:
    'M4 6.5h16M9.5 6.5v-2a1 1 0 0 1 1-1h3a1 1 0 0 1 1 1v2M6 6.5 7 20a1 1 0 0 0 1 1h8a1 1 0 0 0 1-1l1-13.5M10 11v5.5M14 11v5.5',
  up: 'm6 14.5 6-6 6 6',
  wait: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 7.5V12l3 2',
  bell: 'M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15L6 16.5ZM10 20.5a2.2 2.2 0 0 0 4 0',
  bolt: 'M13 2.5 5 13.5h6l-1 8 8-11h-6l1-8Z',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 18 }: { readonly name: IconName; readonly size?: number }): ReactNode {
  return (
    <svg className="icon" viewBox="0 0 24 24" width={size} height={size} aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** A holdfast: what kelp grips the rock with. */
export function Mark({ size = 24 }: { readonly size?: number }): ReactNode {
  return (
    <svg className="mark" viewBox="0 0 32 32" width={size} height={size} aria-hidden="true" focusable="false">
      <path d="M16 3v13" />
      <path d="M16 10c-1.6-3-4-4-6.5-4 .3 3.4 2.6 5.4 6.5 5.2M16 7.5c1.4-2.4 3.4-3.3 5.6-3.3-.2 2.900-2.2 4.700-5.6 4.700" />
      <path d="M16 16c0 4-2 5-5 6.5-2.2 1.100-4 2.5-4.5 6M16 16c0 4 2 5 5 6.5 2.2 1.100 4 2.5 4.5 6M16 16v12.5M13.2 21.5c-.8 2.5-1.2 4-1.2 7M18.800 21.5c.8 2.5 1.2 4 1.2 7" />
    </svg>
  );
}
