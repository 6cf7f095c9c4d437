/** For a browser that has no cookie: what it needs, and where to get it. */
import { useState, type FormEvent, type ReactNode } from 'react';
import { Mark } from '../ui/icons.tsx';
import { codeIn } from './start.ts';

export interface SignInProps {
  /** @returns whether the code was good. */
  readonly onCode: (code: string) => Promise<boolean>;
  /** A link was opened just now, and was not good. */
  readonly isRefused: boolean;
}

export function SignIn({ onCode, isRefused }: SignInProps): ReactNode {
  const [link, setLink] = useState('');
  const [state, setState] = useState<'plain' | 'busy' | 'refused'>(isRefused ? 'refused' : 'plain');
  const code = codeIn(link.includes('#') ? link : `#start=${link.trim()}`);
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    if (code === null) return;
    setState('busy');
    setState((await onCode(code)) ? 'busy' : 'refused');
  };
  return (
    <main className="sign-in">
      <Mark size={44} />
      <h1>This browser is not signed in</h1>
      <p>A start link signs a browser in, once. Where the gateway runs, make one with:</p>
      <pre className="card-output">holdfast token link</pre>
      <form className="sign-in-form" onSubmit={(event) => void submit(event)}>
        <input
          className="input"
          aria-label="Start link"
          placeholder="Paste the link here, or just open it"
          value={link}
          onChange={(event) => setLink(event.target.value)}
        />
        <button type="submit" className="button is-primary" disabled={code === null || state === 'busy'}>
          Sign in
        </button>
      </form>
      <output>{state === 'refused' ? 'This link was used already, or it is too old. Make another.' : ''}</output>
    </main>
  );
}
