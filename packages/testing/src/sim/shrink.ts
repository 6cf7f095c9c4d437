/**
 * Makes a plan that breaks a law smaller, as long as it still breaks it: what is left is the story of the fault.
 *
 * Stages, again and again until none of them helps any more or the time is over:
 *  1. Faults are dropped, then readers, then whole clients, then operations.
 *  2. The last node is dropped, then the last session.
 *  3. Choices of the scheduler are made first come, first served, in ever smaller ranges.
 *
 *  K1  A smaller plan counts only where it breaks one of the same laws.
 *  K2  What is dropped changes what is drawn after it, so each smaller plan is tried with a few schedules.
 *  K3  Everything is bounded by the caller's `isOver`; the best plan so far is a whole one at any moment.
 */
import type { Plan } from './plan.ts';
import type { Outcome } from './run.ts';

export interface Shrinking {
  readonly run: (plan: Plan) => Promise<Outcome>;
  readonly isOver: () => boolean;
  readonly onSmaller: (plan: Plan) => void;
}

const SCHEDULES = 3;
/** Ranges of choices are not divided below this. */
const RANGE_MIN = 4;

type Try = (plan: Plan, schedules?: number) => Promise<boolean>;

/** @returns the smallest plan found that breaks a law that `outcome` breaks. */
export async function shrink(outcome: Outcome, { run, isOver, onSmaller }: Shrinking): Promise<Plan> {
  const laws = new Set(outcome.violations.map(({ law }) => law));
  let best = outcome;
  const attempt: Try = async (plan, schedules = SCHEDULES) => {
    for (let index = 0; index < schedules && !isOver(); index += 1) {
      const scheduleSeed = index === 0 ? plan.scheduleSeed : plan.scheduleSeed + 7_919 * index;
      const tried = await run({ ...plan, scheduleSeed });
      if (!tried.violations.some(({ law }) => laws.has(law))) continue;
      best = tried;
      onSmaller(best.plan);
      return true;
    }
    return false;
  };
  for (let size = Number.POSITIVE_INFINITY; sizeOf(best) < size && !isOver();) {
    size = sizeOf(best);
    await dropEach(
      () => best.plan.faults,
      (faults) => attempt({ ...best.plan, faults }),
    );
    await dropEach(
      () => best.plan.readers,
      (readers) => attempt({ ...best.plan, readers }),
    );
    await dropClients(() => best.plan, attempt);
    await dropPlaces(() => best.plan, attempt);
    await calm(() => best, attempt);
  }
  return best.plan;
}

const sizeOf = ({ plan, steps }: Outcome): number =>
  plan.faults.length * 1_000 + plan.readers.length * 300 + plan.clients.flat().length * 300 + plan.nodes * 500 + steps;

/** Drops what can be dropped of a list: halves first, then ever smaller pieces. */
async function dropEach<T>(
  list: () => readonly T[],
  attempt: (shorter: readonly T[]) => Promise<boolean>,
): Promise<void> {
  for (let piece = Math.max(1, list().length); piece >= 1; piece = Math.floor(piece / 2))
    for (let from = 0; from < list().length;) if (!(await attempt(list().toSpliced(from, piece)))) from += piece;
}

async function dropClients(plan: () => Plan, attempt: Try): Promise<void> {
  // A client without operations stays in its place: the others keep their names.
  for (let index = 0; index < plan().clients.length; index += 1)
    await dropEach(
      () => plan().clients[index] ?? [],
      (ops) => attempt({ ...plan(), clients: plan().clients.with(index, ops) }),
    );
}

async function dropPlaces(plan: () => Plan, attempt: Try): Promise<void> {
  while (plan().nodes > 1 && (await attempt({ ...plan(), nodes: plan().nodes - 1 })));
  while (plan().sessions > 1 && (await attempt({ ...plan(), sessions: plan().sessions - 1 })));
}

/** Stage 3. */
async function calm(best: () => Outcome, attempt: Try): Promise<void> {
  const picks = best().picks + 1;
  if (best().plan.preempts === 'all') await attempt({ ...best().plan, preempts: [[0, picks]] }, 1);
  if (best().plan.preempts === 'all') return;
  for (let width = picks; width >= RANGE_MIN; width = Math.floor(width / 2))
    for (let from = 0; from < picks; from += width) {
      const { plan } = best();
      const preempts = without(plan.preempts, from, from + width);
      if (preempts !== undefined) await attempt({ ...plan, preempts }, 1);
    }
}

/** The ranges without what lies between; undefined where nothing does. */
function without(
  ranges: Plan['preempts'],
  from: number,
  to: number,
): readonly (readonly [number, number])[] | undefined {
  if (ranges === 'all') return undefined;
  const left = ranges.flatMap(([first, last]): readonly (readonly [number, number])[] => {
    const pieces: readonly (readonly [number, number])[] = [
      [first, Math.min(last, from)],
      [Math.max(first, to), last],
    ];
    return pieces.filter(([a, b]) => a < b);
  });
  return ranges.some(([first, last]) => first < to && from < last) ? left : undefined;
}
