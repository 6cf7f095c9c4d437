/** A plan and its run as a person reads them: who does what, what goes wrong, and then step by step until the law is broken. */
import type { Fault, Op, Plan } from './plan.ts';
import type { Outcome } from './run.ts';

/** Steps that nobody reads a story for; where many stand together they are told as one line. */
const QUIET =
  / (timer|pending|next-wake|renew \S+|reader.*|retry|think|timeout|pause|person|agent|hint \S+|stat \S+|find-key \S+|read \S+|poll|now|row|rows)( done)?$/;

export function storyOf(plan: Plan, { trace, violations, steps }: Outcome): string {
  const clients = plan.clients.flatMap((ops, index) =>
    ops.length === 0 ? [] : [`  u${index}: ${ops.map(opOf).join('; ')}`],
  );
  return [
    `${plan.nodes} nodes, ${plan.sessions} sessions, ${clients.length} clients that do something, ${plan.faults.length} faults, ${steps} steps:`,
    ...clients,
    ...plan.faults.map((fault) => `  ${faultOf(fault)}`),
    ...quietly(trace),
    ...violations.slice(0, 3).map(({ law, detail }) => `${law}: ${detail}`),
  ].join('\n');
}

function opOf({ kind, session, afterMs, whenBusy, merge, branch, queue, partial, waits }: Op): string {
  const details: Partial<Record<Op['kind'], string>> = {
    message: `${whenBusy === 'queue' ? '' : ` (${whenBusy})`}${merge ? ' (merge)' : ''}${branch ? ' (branch)' : ''}`,
    stop: ` (${queue} the queue, partial: ${partial})`,
  };
  return `${kind}${details[kind] ?? ''} to s${session} after ${Math.round(afterMs)} ms${waits ? '' : ', not waiting for the receipt'}`;
}

function faultOf(fault: Fault): string {
  const { kind, atStep, forMs, ...rest } = fault;
  const details = Object.entries(rest).map(
    ([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toFixed(2)) : value}`,
  );
  return `from step ${atStep} for ${Math.round(forMs)} ms: ${kind}${details.length === 0 ? '' : ` (${details.join(', ')})`}`;
}

function quietly(trace: readonly string[]): readonly string[] {
  const lines: string[] = [];
  let quiet: string[] = [];
  const flush = (): void => {
    if (quiet.length <= 2) lines.push(...quiet);
    else lines.push(`       … ${quiet.length} steps of timers, look-ups and readers`);
    quiet = [];
  };
  for (const line of trace) {
    if (QUIET.test(line)) quiet.push(line);
    else {
      flush();
      lines.push(line);
    }
  }
  flush();
  return lines;
}
