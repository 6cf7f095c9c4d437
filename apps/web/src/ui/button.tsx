import type { ReactNode, Ref } from 'react';
import { Icon, type IconName } from './icons.tsx';

export interface IconButtonProps {
  readonly icon: IconName;
  readonly label: string;
  readonly onClick: () => void;
  readonly size?: number;
  readonly className?: string;
  readonly disabled?: boolean;
  readonly pressed?: boolean;
  readonly ref?: Ref<HTMLButtonElement>;
}

/** A button that is an icon to the eye and a word to everybody else. */
export function IconButton({
  icon,
  label,
  onClick,
  size = 16,
  className = '',
  disabled = false,
  pressed,
  ref,
}: IconButtonProps): ReactNode {
  return (
    <button
      type="button"
      className={`icon-button ${className}`}
      title={label}
      aria-label={label}
      disabled={disabled}
      onClick={onClick}
      {...(pressed === undefined ? {} : { 'aria-pressed': pressed })}
      {...(ref === undefined ? {} : { ref })}
    >
      <Icon name={icon} size={size} />
    </button>
  );
}
