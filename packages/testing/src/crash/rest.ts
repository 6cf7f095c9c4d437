/** What a run begins and ends with: the messages that people send, and the logs once everything has come to rest. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Entry } from '@holdfast/protocol';
import { TOKEN } from './gateway.ts';

/** What does not move for so long never will. */
const QUIET_MS = 60_000;

/** Each session has scenes of its own; every run of a tool writes a line that no other writes. */
export function sceneOf(session: number): (n: number) => string {
  return (n) => {
    const key = `seed=${session * 1_000 + n}`;
    switch ((session + n) % 6) {
      case 0:
        return `/scene plain tokens=60 rate=400 ${key}`;
      case 1:
        return `/scene tool run="echo ${session}-${n} >> lines.txt" rate=800 ${key}`;
      case 2:
        return `/scene thinking tokens=60 rate=600 ${key}`;
      case 3:
        return `/scene question rate=800 ${key}`;
      case 4:
        return `/scene fast tokens=600 ${key}`;
      default:
        return `/scene markdown tokens=120 rate=900 ${key}`;
    }
  };
}

/** The logs, once no session has anything left to do, or nothing moves any more. */
export async function restingLogs(
  url: string,
  sessionIds: readonly string[],
): Promise<ReadonlyMap<string, readonly Entry[]>> {
  const headers = { authorization: `Bearer ${TOKEN}` };
  const logs = new Map<string, readonly Entry[]>();
  let [moved, until] = ['', performance.now() + QUIET_MS];
  for (const sessionId of sessionIds) {
    for (;;) {
      const response = await fetch(`${url}/v1/sessions/${sessionId}`, { headers });
      if (response.status === 404) break;
      const { view } = (await response.json()) as {
        readonly view: {
          readonly seq: number;
          readonly turn: unknown;
          readonly queue: readonly unknown[];
          readonly closing: unknown;
          readonly prompts: readonly { readonly promptId: string; readonly kind: string }[];
        };
      };
      if (view.turn === null && view.queue.length === 0 && view.closing === null) break;
      const place = `${sessionId} ${view.seq}`;
      if (place !== moved) [moved, until] = [place, performance.now() + QUIET_MS];
      if (performance.now() > until) break;
      for (const { promptId, kind } of view.prompts) {
        await fetch(`${url}/v1/sessions/${sessionId}/prompts/${promptId}`, {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/json' },
          body: JSON.stringify({ answer: kind === 'approval' ? 'once' : 'blue', clientId: `answer-${promptId}` }),
        });
      }
      await sleep(50);
    }
    const exported = await fetch(`${url}/v1/sessions/${sessionId}/export`, { headers });
    if (!exported.ok) continue;
    const lines = (await exported.text()).trim().split('\n').slice(1, -1);
    logs.set(
      sessionId,
      lines.map((line) => JSON.parse(line) as Entry),
    );
  }
  return logs;
}
