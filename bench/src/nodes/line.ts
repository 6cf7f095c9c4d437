/**
 * One end of a log on PostgreSQL as a process of its own: `line.ts URL write|read SESSIONS PER_SECOND TOGETHER`. The writer appends so many events at a
 * time to each stream in turn, at a steady rate; the reader follows them all and takes each one's age.
 */
import { openPostgresLog } from '@holdfast/log/postgres';

const [url = '', role = '', sessionsText = '', rateText = '', togetherText = ''] = process.argv.slice(2);
const sessions = Number(sessionsText);
const perSecond = Number(rateText);
const together = Number(togetherText);
const ROUND_MS = 5;

const log = await openPostgresLog({ url, node: role });
const streamOf = (n: number): string => `session/f_${sessions}_${n}`;
const nowMs = (): number => performance.timeOrigin + performance.now();
const encoder = new TextEncoder();
const latenciesMs: number[] = [];
let count = 0;
let counting = false;

if (role === 'write') {
  for (let n = 0; n < sessions; n += 1) await log.create(streamOf(n), { contentType: 'application/json' });
} else {
  for (let n = 0; n < sessions; n += 1) void follow(streamOf(n));
}
process.send?.({ ready: true });

async function follow(stream: string): Promise<void> {
  const subscription = log.subscribe(stream, 0);
  for (;;) {
    const delivery = await subscription.next();
    if (delivery.kind !== 'records') return;
    if (!counting) continue;
    const now = nowMs();
    for (const { bytes } of delivery.records) {
      count += 1;
      if (count % 8 === 0)
        latenciesMs.push(now - Number(/@([\d.]+)@/.exec(Buffer.from(bytes).toString('latin1'))?.[1]));
    }
  }
}

let timer: NodeJS.Timeout | undefined;
function write(): void {
  const startedMs = performance.now();
  let sent = 0;
  let under = 0;
  timer = setInterval(() => {
    // An owner writes no more than the store takes: what is under way is bounded.
    const due = Math.floor(((performance.now() - startedMs) / 1_000) * perSecond);
    const body = encoder.encode(
      `{"type":"text-delta","turnId":"t_0123456789abcdef","messageId":"a_0123456789abcdef","text":"@${nowMs().toFixed(3)}@ of the lighthouse keeper"}`,
    );
    for (; sent < due && under < perSecond; sent += together) {
      under += together;
      const records = Array.from({ length: together }, () => body);
      void log.append(streamOf((sent / together) % sessions), { records }).then(() => (under -= together));
    }
  }, ROUND_MS);
}

process.on('message', (message) => {
  if (message === 'start') {
    counting = true;
    count = 0;
    if (role === 'write' && timer === undefined) write();
    return;
  }
  clearInterval(timer);
  process.send?.({ events: count, latenciesMs });
});
process.on('disconnect', () => process.exit(0));
