/**
 * Catches what breaks while the page is drawn. What stands around it goes on, drafts are kept, and one can try again.
 */
import { Component, type ReactNode } from 'react';
import { copyText } from '../ui/clipboard.ts';

export interface ErrorBoundaryProps {
  /** What broke, for the person: "The conversation". */
  readonly what: string;
  /** A change of it is a fresh start. */
  readonly resetKey?: string | null;
  readonly children: ReactNode;
}

interface State {
  readonly error: Error | null;
  readonly resetKey: string | null;
}

export class ErrorBoundary extends Component<ErrorBoundaryProps, State> {
  override state: State = { error: null, resetKey: null };

  static getDerivedStateFromError(error: unknown): Partial<State> {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  static getDerivedStateFromProps({ resetKey = null }: ErrorBoundaryProps, state: State): Partial<State> | null {
    return resetKey === state.resetKey ? null : { error: null, resetKey };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (error === null) return this.props.children;
    return (
      <div className="broken" role="alert">
        <h2>{this.props.what} could not be drawn</h2>
        <p>
          This is a fault of the page. Nothing is lost: everything is in the gateway, and what you were writing is kept.
        </p>
        <pre className="card-output">{error.message}</pre>
        <div className="broken-actions">
          <button type="button" className="button is-primary" onClick={() => this.setState({ error: null })}>
            Try again
          </button>
          <button type="button" className="button" onClick={() => location.reload()}>
            Reload
          </button>
          <button type="button" className="button" onClick={() => void copyText(error.stack ?? error.message)}>
            Copy the details
          </button>
        </div>
      </div>
    );
  }
}
