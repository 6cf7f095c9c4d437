/**
 * What a run is made of, drawn from its seed before it begins: who does what, and what goes wrong when. A plan is plain
 * data, so that a failing one can be made smaller piece by piece (`shrink.ts`).
 */
import type { RunEvent } from '@holdfast/protocol';
import { seeded } from '../power/seeded.ts';

export type OpKind =
  | 'message'
  | 'steer'
  | 'edit'
  | 'withdraw'
  | 'order'
  | 'stop'
  | 'answer'
  | 'tool-result'
  | 'regenerate'
  | 'switch'
  | 'keep'
  | 'set';

/** What a client does next. `roll` chooses among what is there at that moment. */
export interface Op {
  readonly kind: OpKind;
  readonly session: number;
  readonly afterMs: number;
  readonly roll: number;
  readonly whenBusy: 'queue' | 'interrupt' | 'steer';
  readonly merge: boolean;
  /** A message that begins a branch. */
  readonly branch: boolean;
  readonly queue: 'keep' | 'clear';
  readonly partial: 'keep' | 'discard' | 'default';
  /** Whether the client waits for the receipt before it goes on. */
  readonly waits: boolean;
}

export type Fault =
  | { readonly kind: 'crash'; readonly node: number; readonly atStep: number; readonly forMs: number }
  | { readonly kind: 'pause'; readonly node: number; readonly atStep: number; readonly forMs: number }
  | { readonly kind: 'drain'; readonly node: number; readonly atStep: number; readonly forMs: number }
  | { readonly kind: 'slow-store'; readonly atStep: number; readonly forMs: number; readonly slowMs: number }
  /** The store refuses before the effect, and loses answers after it. */
  | { readonly kind: 'refusals'; readonly atStep: number; readonly forMs: number; readonly share: number }
  /** One process cannot reach the store: what it asks is refused, or stays on its way till the end. */
  | {
      readonly kind: 'cut-off';
      readonly node: number;
      readonly atStep: number;
      readonly forMs: number;
      readonly hangs: boolean;
    }
  /** Whichever process appends such an entry dies of it, so many times, until the time is over. */
  | {
      readonly kind: 'ambush';
      readonly atStep: number;
      readonly forMs: number;
      readonly entry: RunEvent['type'];
      readonly times: number;
      readonly downMs: number;
    }
  /** Whichever process asks the store for this next is stopped there: it goes on much later, or never. */
  | {
      readonly kind: 'stall';
      readonly atStep: number;
      readonly forMs: number;
      readonly op: StoreOp;
      readonly dies: boolean;
    }
  /** The store refuses this one thing, to whoever asks, so many times, before its effect or when its answer is under way: at once, or
   *  as one does that times out. */
  | {
      readonly kind: 'deny';
      readonly atStep: number;
      readonly forMs: number;
      readonly op: (typeof DENIALS)[number];
      readonly times: number;
      readonly slowMs: number;
    }
  /** The store takes so long over this one thing, so many times: before its effect, or when its answer is under way. */
  | {
      readonly kind: 'lag';
      readonly atStep: number;
      readonly forMs: number;
      readonly op: (typeof DENIALS)[number];
      readonly times: number;
      readonly slowMs: number;
    }
  /** Requests and responses get lost, and requests come twice. */
  | { readonly kind: 'network'; readonly atStep: number; readonly forMs: number; readonly share: number };

export type StoreOp = (typeof STALLS)[number];

export interface Plan {
  readonly seed: number;
  /** What the order of steps is drawn from. */
  readonly scheduleSeed: number;
  /** The choices that may prefer a later step to the one that waits longest, as ranges; elsewhere it is first come, first served. */
  readonly preempts: 'all' | readonly (readonly [from: number, to: number])[];
  readonly nodes: number;
  readonly sessions: number;
  readonly turnsMax: number;
  /** Messages that may wait in a session. */
  readonly queueMax: number;
  /** One list of operations for each client. */
  readonly clients: readonly (readonly Op[])[];
  /** For each reader: the session it reads. */
  readonly readers: readonly number[];
  readonly faults: readonly Fault[];
  /** Turns that each session begins with, as an imported one does: more than a window holds, or none. */
  readonly past: number;
  /** How much agents say: a long run passes a checkpoint. */
  readonly chatter: number;
  /** The share of hints between nodes that get lost; then nodes poll as well. */
  readonly hintLoss: number;
}

const FAULTS_MIN = 3;
const STEPS_FAULTY = 700;

const WEIGHTS: Readonly<Record<OpKind, number>> = {
  message: 40,
  steer: 7,
  edit: 5,
  withdraw: 6,
  order: 5,
  stop: 9,
  answer: 28,
  'tool-result': 7,
  regenerate: 4,
  keep: 2,
  switch: 3,
  set: 2,
};
const KINDS: readonly OpKind[] = Object.entries(WEIGHTS).flatMap(([kind, weight]) =>
  Array.from({ length: weight }, () => kind as OpKind),
);

const FAULT_KINDS = [
  'crash',
  'crash',
  'pause',
  'pause',
  'drain',
  'slow-store',
  'refusals',
  'network',
  'cut-off',
  'ambush',
  'stall',
  'deny',
  'lag',
] as const satisfies readonly Fault['kind'][];

const DENIALS = [
  'append session',
  'release session',
  'acquire session',
  'read session',
  'read grants',
  'read grants',
  'read grants',
  'append grants',
  'append grants',
  'find-key',
  'stat',
  'row',
  'renew',
  'pending',
] as const;

/** A lease that is answered late is over when it comes; what an append that takes its time overtakes, it must not undo. */
const LAGS = ['renew', 'renew', 'renew', 'append session', 'append session', 'append session', ...DENIALS] as const;

const STALLS = ['append', 'append', 'release', 'acquire', 'read', 'row'] as const;

const AMBUSHES = [
  'turn-start',
  'turn-start',
  'turn-resume',
  'turn-park',
  'turn-end',
  'stream-end',
  'prompt-open',
  'prompt-close',
  'steer-end',
  'tool-request',
  'tool-start',
  'text-delta',
] as const satisfies readonly RunEvent['type'][];

export function planOf(seed: number): Plan {
  const random = seeded(seed);
  const draw = (below: number): number => Math.floor(random() * below);
  const pick = <T>(choices: readonly [T, ...T[]]): T => choices[draw(choices.length)] ?? choices[0];
  const many = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

  const nodes = pick([2, 2, 2, 3, 3]);
  const sessions = pick([1, 1, 1, 2, 2, 3]);
  const haste = pick([2, 20, 150, 600]);
  const op = (): Op => ({
    kind: pick(KINDS as readonly [OpKind, ...OpKind[]]),
    session: draw(sessions),
    afterMs: random() < 0.3 ? 0 : random() * haste,
    roll: random(),
    whenBusy: pick(['queue', 'queue', 'queue', 'interrupt', 'steer']),
    merge: random() < 0.15,
    branch: random() < 0.08,
    queue: random() < 0.3 ? 'clear' : 'keep',
    partial: pick(['keep', 'discard', 'default']),
    waits: random() < 0.7,
  });
  const fault = (): Fault => {
    const node = draw(nodes);
    // Early steps are where starts, takeovers and first turns are: they get their share.
    const atStep = Math.floor(STEPS_FAULTY * random() * random()) + 5;
    switch (pick(FAULT_KINDS)) {
      case 'crash':
        return { kind: 'crash', node, atStep, forMs: random() * 3_000 };
      case 'pause':
        return { kind: 'pause', node, atStep, forMs: random() < 0.6 ? 11_000 + random() * 9_000 : random() * 9_000 };
      case 'drain':
        return { kind: 'drain', node, atStep, forMs: random() * 1_000 };
      case 'slow-store':
        return { kind: 'slow-store', atStep, forMs: random() * 4_000, slowMs: pick([100, 800, 6_000]) };
      case 'cut-off':
        return { kind: 'cut-off', node, atStep, forMs: 2_000 + random() * 20_000, hangs: random() < 0.6 };
      case 'ambush': {
        const entry = pick(AMBUSHES);
        return { kind: 'ambush', atStep, forMs: 45_000, entry, times: 1 + draw(4), downMs: random() * 1_000 };
      }
      case 'stall':
        return { kind: 'stall', atStep, forMs: 10_500 + random() * 9_000, op: pick(STALLS), dies: random() < 0.3 };
      case 'deny':
        return {
          kind: 'deny',
          atStep,
          forMs: 1_000 + random() * 9_000,
          op: pick(DENIALS),
          times: 1 + draw(4),
          slowMs: pick([0, 0, 3_000]),
        };
      case 'lag':
        return {
          kind: 'lag',
          atStep: random() < 0.3 ? 0 : atStep,
          forMs: 1_000 + random() * 19_000,
          op: pick(LAGS),
          times: 1 + draw(4),
          slowMs: pick([500, 3_000, 9_000, 9_000]),
        };
      case 'refusals':
        return { kind: 'refusals', atStep, forMs: random() * 4_000, share: pick([0.1, 0.3, 1]) };
      default:
        return { kind: 'network', atStep, forMs: random() * 8_000, share: pick([0.2, 0.5]) };
    }
  };
  return {
    seed,
    scheduleSeed: seed,
    preempts: 'all',
    nodes,
    sessions,
    turnsMax: pick([1, 2, 256]),
    queueMax: random() < 0.15 ? 2 + draw(3) : 1_000,
    clients: many(3 + draw(2), () => many(3 + draw(10), op)),
    readers: many(1 + draw(3), () => draw(sessions)),
    faults: many(FAULTS_MIN + draw(4), fault),
    chatter: random() < 0.06 ? 60 : 1,
    hintLoss: pick([0, 0, 0, 0.3, 1]),
    past: random() < 0.08 ? 46 + draw(12) : 0,
  };
}
