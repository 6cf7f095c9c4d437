/** The client of a tree of components. */
import { createContext, useContext, type ReactElement, type ReactNode } from 'react';

import type { HoldfastClient } from '@holdfast/client';

const ClientContext = createContext<HoldfastClient | undefined>(undefined);

/** Who made the client closes it: mounting twice, as strict mode does, must not end anything. */
export function HoldfastProvider(props: {
  readonly client: HoldfastClient;
  readonly children?: ReactNode;
}): ReactElement {
  return <ClientContext value={props.client}>{props.children}</ClientContext>;
}

export function useClient(): HoldfastClient {
  const client = useContext(ClientContext);
  if (client === undefined)
    throw new Error('There is no Holdfast client here. Put <HoldfastProvider client={createClient(…)}> above.');
  return client;
}
