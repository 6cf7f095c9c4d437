/**
 * How the connection stands, where one looks for it, and what can be done about it.
 */
import type { ReactNode } from 'react';
import type { ConnectionState } from '@holdfast/client';
import { faultInfo } from '@holdfast/protocol/fault';
import { useNow } from '../ui/use-timer.ts';

export interface ConnectionProps {
  readonly state: ConnectionState;
  readonly onNow: () => void;
}

export function Connection({ state, onNow }: ConnectionProps): ReactNode {
  return (
    <div className="connection" data-state={state.kind} title={titleOf(state)}>
      <span className="connection-mark" aria-hidden="true" />
      <span className="connection-text">
        {state.kind === 'waiting' ? <RetryText retryAt={state.retryAt} /> : TEXTS[state.kind]}
      </span>
      {state.kind === 'waiting' || state.kind === 'offline' ? (
        <button type="button" className="link-button" onClick={onNow}>
          Try now
        </button>
      ) : null}
    </div>
  );
}

const TEXTS: Readonly<Record<Exclude<ConnectionState['kind'], 'waiting'>, string>> = {
  idle: 'Not connected',
  connecting: 'Connecting',
  live: 'Live',
  offline: 'Offline',
  closed: 'Signed out',
};

function RetryText({ retryAt }: { readonly retryAt: number }): ReactNode {
  const leftS = Math.max(0, Math.ceil((retryAt - useNow(500)) / 1_000));
  return leftS === 0 ? 'Connecting' : `Trying again in ${leftS} s`;
}

function titleOf(state: ConnectionState): string {
  const fault = 'fault' in state ? state.fault : undefined;
  if (fault !== undefined) return `${faultInfo(fault.kind).title}. ${fault.detail}`;
  return state.kind === 'live' ? 'Everything that happens is seen here at once' : '';
}

/** Across the conversation, where it matters: what is written now waits here until the gateway is back. */
export function ConnectionBanner({ state, onNow }: ConnectionProps): ReactNode {
  if (state.kind !== 'waiting' && state.kind !== 'offline') return null;
  return (
    <div className="banner is-warning">
      <span>
        {state.kind === 'offline' ? 'This device is offline. ' : 'The gateway is not reached. '}
        What you send is kept here and goes out once when it is back.
      </span>
      <Connection state={state} onNow={onNow} />
    </div>
  );
}
