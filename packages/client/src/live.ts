/**
 * What makes a client live: the streams, the fold that reads them, the recovery after them; and what is done now and then
 * (`actions.ts`). It is a chunk of its own, asked for when a client is made (`live-part.ts`).
 */
import type { ClientOptions } from './api.ts';
import {
  EventStreamClient,
  type EventStream,
  type EventStreamHandlers,
  type EventStreamOptions,
} from './event-stream.ts';
import type { StreamTarget } from './places.ts';
import type { Ports } from './ports.ts';
import { openSharedStream } from './shared-stream.ts';
import { openEachStream, openOneStream, type Streams, type StreamsOptions } from './streams.ts';

export * as actions from './actions.ts';
export { fold } from '@holdfast/protocol/fold';
export { interrupted } from './interrupted.ts';
export { openRecoveries } from './session-recovery.ts';

export interface LiveOptions
  extends
    Pick<ClientOptions, 'streams' | 'openStream' | 'subject' | 'transport'>,
    Pick<StreamsOptions, 'onState' | 'onError' | 'onHello'> {
  /** What each stream is opened with besides its target. */
  readonly base: Omit<EventStreamOptions, 'target' | 'handlers'> & { readonly ports: Ports };
}

export function openStreams(options: LiveOptions): Streams {
  const { streams = defaultStreams(options), base, openStream } = options;
  const openOver = openStream ?? (streams === 'shared' ? overTabs(options) : overNetwork);
  const open = (target: StreamTarget, handlers: EventStreamHandlers): EventStream =>
    openOver({ ...base, target, handlers });
  return (streams === 'each' ? openEachStream : openOneStream)({ ...options, open });
}

const overNetwork = (options: EventStreamOptions): EventStream => new EventStreamClient(options);

/** Tabs of different people never share. The number is that of what tabs say to each other: it changes when that does. */
const overTabs =
  ({ subject }: LiveOptions) =>
  (options: EventStreamOptions): EventStream => {
    const { target, baseUrl } = options;
    if (target.kind === 'session' || subject === undefined) return overNetwork(options);
    return openSharedStream({ ...options, target, name: `holdfast/1 ${baseUrl} ${subject}` });
  };

/**
 * A browser has six sockets for all tabs; elsewhere a stream of its own is simpler for everybody. Where a transport leads to is
 * its owner's to know, and a page without an origin has no tabs beside it.
 */
function defaultStreams({ subject, transport }: LiveOptions): NonNullable<ClientOptions['streams']> {
  if (typeof document === 'undefined') return 'each';
  const hasTabs = typeof BroadcastChannel === 'function' && globalThis.origin !== 'null';
  return hasTabs && subject !== undefined && transport === undefined ? 'shared' : 'one';
}
