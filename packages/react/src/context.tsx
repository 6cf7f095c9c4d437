/** The client of a tree of components. */
import { createContext, useContext, useEffect, useRef, type ReactElement, type ReactNode } from 'react';

import type { HoldfastClient } from '@holdfast/client';

const ClientContext = createContext<HoldfastClient | undefined>(undefined);

/** Who made the client closes it: mounting twice, as strict mode does, must not end anything. */
export function HoldfastProvider(props: {
  readonly client: HoldfastClient;
  readonly children?: ReactNode;
}): ReactElement {
  useMistakes(props.client);
  return <ClientContext value={props.client}>{props.children}</ClientContext>;
}

/** Tells of a client that an effect has closed, and of one that is made anew by each render. */
function useMistakes(client: HoldfastClient): void {
  const first = useRef(client);
  useEffect(() => {
    const look = (): void => {
      const state = client.connection.getSnapshot();
      if (state.kind === 'closed' && state.fault === undefined) console.error(CLOSED);
    };
    look();
    return client.connection.subscribe(look);
  }, [client]);
  useEffect(() => {
    if (first.current !== client && first.current.connection.getSnapshot().kind !== 'closed') console.error(ANOTHER);
    first.current = client;
  }, [client]);
}

const CLOSED =
  'The Holdfast client of this provider was closed. StrictMode runs the clean-up of an effect twice: make the client outside of what ' +
  'renders, and close it when its person signs out.';
const ANOTHER =
  'The Holdfast provider was given another client while the first is open. Make the client once, outside of what renders, and ' +
  'close one that you replace.';

export function useClient(): HoldfastClient {
  const client = useContext(ClientContext);
  if (client === undefined)
    throw new Error('There is no Holdfast client here. Put <HoldfastProvider client={createClient(…)}> above.');
  return client;
}
