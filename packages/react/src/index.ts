/** React hooks over the client's stores. Everything that is shown comes from `@holdfast/client`; here it is only read. */
export { HoldfastProvider, useClient } from './context.tsx';
export {
  useComposer,
  useConnection,
  useMessage,
  usePrompts,
  useSession,
  useSessionHandle,
  useSessions,
  useTurnEnd,
  type Composer,
  type Prompts,
  type Sessions,
} from './hooks.ts';
export { useBtw, type SideQuestion } from './use-btw.ts';
