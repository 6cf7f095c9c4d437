/**
 * For tests that turn the clock by hand: every client has its live part from the start. Loading takes real time, of which a
 * schedule knows nothing. (`late-streams.test.ts` is about clients without it.)
 */
import { loadLive } from '../src/live-part.ts';

await loadLive();
