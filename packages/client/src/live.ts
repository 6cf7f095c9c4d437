/**
 * What makes a client live: the streams, the fold that reads them, the recovery after them. It is a chunk of its own, asked
 * for when a client is made (`live-part.ts`).
 */
import type { ClientOptions } from './api.ts';
import { EventStreamClient, type EventStreamHandlers, type EventStreamOptions } from './event-stream.ts';
import type { StreamTarget } from './places.ts';
import type { Ports } from './ports.ts';
import { openEachStream, openOneStream, type Streams, type StreamsOptions } from './streams.ts';

export { fold } from '@holdfast/protocol/fold';
export { interrupted } from './interrupted.ts';
export { recoverSession } from './session-recovery.ts';

export interface LiveOptions
  extends Pick<ClientOptions, 'streams' | 'openStream'>, Pick<StreamsOptions, 'onState' | 'onError'> {
  /** What each stream is opened with besides its target. */
  readonly base: Omit<EventStreamOptions, 'target' | 'handlers'> & { readonly ports: Ports };
}

export function openStreams({
  streams = defaultStreams(),
  openStream = overNetwork,
  base,
  ...rest
}: LiveOptions): Streams {
  const open = (target: StreamTarget, handlers: EventStreamHandlers): ReturnType<typeof openStream> =>
    openStream({ ...base, target, handlers });
  return (streams === 'one' ? openOneStream : openEachStream)({ ...rest, open });
}

const overNetwork = (options: EventStreamOptions): EventStreamClient => new EventStreamClient(options);

/** A browser has six sockets for all tabs; elsewhere a stream of its own is simpler for everybody. */
const defaultStreams = (): 'one' | 'each' => (typeof document === 'undefined' ? 'each' : 'one');
