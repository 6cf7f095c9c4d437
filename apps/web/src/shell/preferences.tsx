/**
 * What belongs to this browser: light or dark, notifications, and what it cannot do.
 */
import { useState, type ReactNode } from 'react';
import { IconButton } from '../ui/button.tsx';
import type { IconName } from '../ui/icons.tsx';
import { useNotify } from '../ui/notices.tsx';
import { notificationState } from './attention.ts';
import { chooseTheme, nextTheme, useTheme, type Theme } from './theme.ts';

const THEMES: Readonly<Record<Theme, { readonly icon: IconName; readonly label: string }>> = {
  system: { icon: 'system', label: 'Light or dark: as the system' },
  light: { icon: 'sun', label: 'Light' },
  dark: { icon: 'moon', label: 'Dark' },
};

export function Preferences({ children }: { readonly children?: ReactNode }): ReactNode {
  const theme = useTheme();
  return (
    <div className="preferences">
      {children}
      <Missing />
      <NotificationSwitch />
      <IconButton icon={THEMES[theme].icon} label={THEMES[theme].label} onClick={() => chooseTheme(nextTheme(theme))} />
    </div>
  );
}

function NotificationSwitch(): ReactNode {
  const [state, setState] = useState(notificationState);
  const notify = useNotify();
  if (state !== 'default') return null;
  const ask = async (): Promise<void> => {
    const answer = await Notification.requestPermission();
    setState(answer);
    notify({
      kind: 'done',
      text: answer === 'granted' ? 'You will be called when an answer is ready.' : 'No notifications, then.',
    });
  };
  return <IconButton icon="bell" label="Notify me when an answer is ready" onClick={() => void ask()} />;
}

const MISSING_TEXT =
  'This page was opened over plain http from another device. Browsers allow less there: no notifications, no shared ' +
  'locks between tabs, and copying goes a longer way round. Messages and drafts are as safe as ever. For the rest, serve ' +
  'the gateway over https (HOLDFAST_TLS_CERT) or behind a proxy that does.';

function Missing(): ReactNode {
  const notify = useNotify();
  if (isSecureContext) return null;
  return (
    <IconButton
      icon="alert"
      label="Some features are missing on this connection"
      onClick={() => notify({ kind: 'error', text: MISSING_TEXT })}
    />
  );
}
