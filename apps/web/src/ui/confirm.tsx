/**
 * A question before something that cannot be taken back. The platform's dialog keeps the focus inside and gives it back.
 */
import { useEffect, useRef, type ReactNode } from 'react';

export interface ConfirmProps {
  readonly title: string;
  readonly text: string;
  readonly action: string;
  readonly onConfirm: () => void;
  readonly onClose: () => void;
}

export function Confirm({ title, text, action, onConfirm, onClose }: ConfirmProps): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const confirm = (): void => {
    onConfirm();
    onClose();
  };
  return (
    <dialog ref={dialog} className="dialog" aria-label={title} onClose={onClose}>
      <h2>{title}</h2>
      <p>{text}</p>
      <div className="dialog-actions">
        <button type="button" className="button" onClick={onClose}>
          Keep it
        </button>
        <button type="button" className="button is-danger" onClick={confirm}>
          {action}
        </button>
      </div>
    </dialog>
  );
}
