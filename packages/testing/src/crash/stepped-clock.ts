/**
 * Preloaded into a gateway (`--import`): SIGUSR2 steps the wall clock of all its threads, an hour forward and back again in turn.
 * Timers and the monotonic clock are as they were, as if a person had set the machine's clock.
 */
import { BroadcastChannel, isMainThread } from 'node:worker_threads';

const STEP_MS = 3_600_000;

const RealDate = Date;
let offsetMs = 0;

globalThis.Date = class SteppedDate extends RealDate {
  // oxlint-disable-next-line typescript/no-explicit-any -- the constructor of Date has seven forms
  constructor(...parts: any[]) {
    if (parts.length === 0) super(RealDate.now() + offsetMs);
    else super(...(parts as [number]));
  }

  static override now(): number {
    return RealDate.now() + offsetMs;
  }
} as DateConstructor;

const channel = new BroadcastChannel('holdfast-stepped-clock');
channel.unref();
channel.addEventListener('message', (event) => {
  if (event instanceof MessageEvent) offsetMs = Number(event.data);
});

if (isMainThread)
  process.on('SIGUSR2', () => {
    offsetMs = offsetMs === 0 ? STEP_MS : 0;
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's channel has no origin
    channel.postMessage(offsetMs);
  });
