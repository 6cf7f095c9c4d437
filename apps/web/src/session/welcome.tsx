/**
 * What there is to see before the first message: what can be tried at once, and how a real model is connected.
 */
import { useState, type ReactNode } from 'react';
import type { AgentInfo } from '@holdfast/client';
import { Mark, Icon, type IconName } from '../ui/icons.tsx';

export interface WelcomeProps {
  readonly agents: readonly AgentInfo[];
  readonly agent: string | null;
  readonly onAgent: (name: string) => void;
  readonly onTry: (text: string) => Promise<unknown>;
}

interface Example {
  readonly icon: IconName;
  readonly title: string;
  readonly about: string;
  readonly text: string;
}

const EXAMPLES: readonly Example[] = [
  { icon: 'file', title: 'A rich answer', about: 'Code, tables, lists', text: '/scene markdown' },
  { icon: 'thought', title: 'Thinking', about: 'Folded, live', text: '/scene thinking' },
  { icon: 'tool', title: 'A tool', about: 'With its output as it comes', text: '/scene tool' },
  { icon: 'check', title: 'An approval', about: 'Close the page; it waits for you', text: '/scene approval' },
  { icon: 'queue', title: 'A question', about: 'The answer goes on with yours', text: '/scene question' },
  { icon: 'bolt', title: '5,000 tokens a second', about: 'The page stays smooth', text: '/scene fast' },
];

export function Welcome({ agents, agent, onAgent, onTry }: WelcomeProps): ReactNode {
  const chosen = agents.find(({ name }) => name === agent) ?? agents.find((one) => one.default);
  const [isTrying, setTrying] = useState(false);
  const begin = async (text: string): Promise<void> => {
    setTrying(true);
    await onTry(text);
    setTrying(false);
  };
  const isRehearsal = chosen === undefined || chosen.name === 'rehearsal';
  return (
    <div className="welcome">
      <Mark size={52} />
      <h1>What you saw is what is kept</h1>
      <p className="welcome-lead">
        Reload in mid-answer, open a second tab, pull the plug: the conversation goes on where it was.
      </p>
      {agents.length > 1 ? <AgentChoice agents={agents} chosen={chosen?.name} onAgent={onAgent} /> : null}
      {isRehearsal ? (
        <>
          <h2 className="welcome-title">Try it now, offline</h2>
          <ul className="examples">
            {EXAMPLES.map(({ icon, title, about, text }) => (
              <li key={text}>
                <button type="button" className="example" disabled={isTrying} onClick={() => void begin(text)}>
                  <Icon name={icon} size={18} />
                  <span className="example-title">{title}</span>
                  <span className="example-about">{about}</span>
                </button>
              </li>
            ))}
          </ul>
          <Connect isOnly={agents.length < 2} />
        </>
      ) : null}
    </div>
  );
}

interface AgentChoiceProps {
  readonly agents: readonly AgentInfo[];
  readonly chosen: string | undefined;
  readonly onAgent: (name: string) => void;
}

const AgentChoice = ({ agents, chosen, onAgent }: AgentChoiceProps): ReactNode => (
  <fieldset className="segments welcome-agents">
    <legend className="visually-hidden">Agent</legend>
    {agents.map(({ name, description }) => (
      <label key={name} className="segment" title={description}>
        <input
          type="radio"
          name="agent"
          className="visually-hidden"
          checked={name === chosen}
          onChange={() => onAgent(name)}
        />
        {name}
      </label>
    ))}
  </fieldset>
);

function Connect({ isOnly }: { readonly isOnly: boolean }): ReactNode {
  const [isOpen, setOpen] = useState(false);
  if (!isOnly) return null;
  return (
    <details className="card welcome-connect" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="card-head">
        <Icon name="bolt" size={16} />
        <span className="card-title">Connect a real model</span>
        <span className="card-note">Any OpenAI-compatible address, a local one too</span>
        <Icon name="chevronDown" size={15} />
      </summary>
      <div className="card-body">
        <p>
          Set these where the gateway runs, and start it again. Ollama, llama.cpp, vLLM and the hosted ones all work.
        </p>
        <pre className="card-output">{`HOLDFAST_MODEL_URL=http://127.0.0.1:11434/v1
HOLDFAST_MODEL=qwen3
HOLDFAST_MODEL_KEY=…        # where it needs one`}</pre>
      </div>
    </details>
  );
}
