/**
 * L1–L5, L8, L9, L11, L13, L14 together: a random history, told to the log and to the model, gets the same answers from both.
 * Runs of appends are made in one breath, so that a store groups them; everything else waits for its turn.
 */
import * as fc from 'fast-check';
import { assert, describe, test } from 'vitest';
import type { Append, AppendVerdict, Log } from '../port.ts';
import { bytes, fresh, freshHolder, readAll, textOf, texts } from './harness.ts';
import type { Suite } from './harness.ts';
import { Model } from './model.ts';
import type { ModelAppend } from './model.ts';

/** Streams, holders and epochs are indexes and offsets here, so that a history means something wherever it is cut. */
type Command =
  | {
      readonly kind: 'create';
      readonly stream: number;
      readonly fork: { readonly from: number; readonly upTo: number } | null;
    }
  | ({ readonly kind: 'append'; readonly stream: number } & AppendScript)
  | { readonly kind: 'acquire' | 'leave'; readonly stream: number; readonly holder: number }
  | { readonly kind: 'release'; readonly stream: number; readonly epochBack: number; readonly behind: number }
  | { readonly kind: 'read' | 'truncate' | 'pack'; readonly stream: number; readonly seq: number }
  | { readonly kind: 'delete' | 'reopen'; readonly stream: number };

interface AppendScript {
  readonly sizes: readonly number[];
  readonly key: { readonly id: number; readonly hash: number } | null;
  /** How far the fence is behind the current epoch. */
  readonly epochBack: number | null;
  readonly producer: { readonly epoch: number; readonly seq: number } | null;
  readonly row: { readonly key: number; readonly remove: boolean } | null;
  /** How far the head that it was decided at is behind. */
  readonly headBack: number | null;
  readonly close: boolean;
}

const few = (max: number): fc.Arbitrary<number> => fc.nat({ max });
const stream = few(4);

const append: fc.Arbitrary<Command> = fc.record({
  kind: fc.constant('append' as const),
  stream,
  sizes: fc.array(fc.nat({ max: 300 }), { maxLength: 5 }),
  key: fc.option(fc.record({ id: few(3), hash: few(1) }), { freq: 3, nil: null }),
  epochBack: fc.option(few(1), { freq: 2, nil: null }),
  producer: fc.option(fc.record({ epoch: few(1), seq: few(2) }), { freq: 3, nil: null }),
  row: fc.option(fc.record({ key: few(2), remove: fc.boolean() }), { freq: 3, nil: null }),
  headBack: fc.option(few(1), { freq: 2, nil: null }),
  close: fc.constantFrom(...Array.from({ length: 30 }, (_, index) => index === 0)),
});

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 12, arbitrary: append },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('create' as const),
      stream,
      fork: fc.option(fc.record({ from: few(4), upTo: few(8) })),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('acquire' as const), stream, holder: few(2) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('release' as const), stream, epochBack: few(1), behind: few(1) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('read' as const, 'truncate' as const, 'pack' as const),
      stream,
      seq: few(12),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), stream, holder: few(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('delete' as const, 'reopen' as const), stream }) },
);

export function describeProperties(suite: Suite): void {
  describe('L1–L14: any history', () => {
    test('L1 L2 L3 L4 L5 L8 L9 L11 L13 L14: the log answers as the model does', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 80 }), async (history) => {
          const run = await History.begin(suite);
          for (const burst of burstsOf([...Array.from({ length: 3 }, createOf), ...history])) await run.tell(burst);
          await run.compareAll();
        }),
        { numRuns: suite.runs },
      );
    });
  });
}

const createOf = (_: unknown, stream: number): Command => ({ kind: 'create', stream, fork: null });

/** Neighbouring appends are one burst. */
function burstsOf(history: readonly Command[]): Command[][] {
  const bursts: Command[][] = [];
  for (const command of history) {
    const last = bursts.at(-1);
    if (command.kind === 'append' && last?.[0]?.kind === 'append') last.push(command);
    else bursts.push([command]);
  }
  return bursts;
}

class History {
  private readonly suite: Suite;
  private readonly model: Model = new Model();
  private readonly prefix: string = fresh('history');
  private readonly consumer: string = fresh('run');
  private readonly table: string = fresh('table');
  private readonly holders: readonly string[];
  private bodies = 0;

  static async begin(suite: Suite): Promise<History> {
    return new History(suite, [await freshHolder(suite), await freshHolder(suite), await freshHolder(suite)]);
  }

  private constructor(suite: Suite, holders: readonly string[]) {
    this.suite = suite;
    this.holders = holders;
  }

  async tell(burst: readonly Command[]): Promise<void> {
    const calls = burst.map((command) => this.say(command));
    for (const [index, call] of calls.entries()) {
      const { expected, answer } = call;
      assert.deepEqual(comparable(await answer), expected, JSON.stringify(burst[index]));
    }
    assert.deepEqual(await this.log.consumers.pending(this.consumer, { limit: 99 }), this.model.pending());
  }

  async compareAll(): Promise<void> {
    for (let stream = 0; stream <= 4; stream += 1) {
      const expected = this.model.read(this.nameOf(stream), 0);
      const after = expected.kind === 'truncated' ? Number(expected['floor']) : 0;
      const wanted = this.model.read(this.nameOf(stream), after);
      if (wanted.kind === 'page')
        assert.deepEqual(texts(await readAll(this.log, this.nameOf(stream), after)), wanted['bodies']);
    }
    const rows = await this.log.rows.list({ table: this.table, limit: 999 });
    assert.deepEqual(rows.map((row) => `${row.stream}/${row.key}=${textOf(row.value)}`).toSorted(), this.model.rows());
  }

  private get log(): Log {
    return this.suite.log;
  }

  private nameOf(stream: number): string {
    return `${this.prefix}/${stream}`;
  }

  private say(command: Command): { readonly expected: unknown; readonly answer: Promise<unknown> } {
    const { log, model, consumer } = this;
    const name = this.nameOf(command.stream);
    switch (command.kind) {
      case 'create': {
        const fork = command.fork ? { from: this.nameOf(command.fork.from), upTo: command.fork.upTo } : undefined;
        const options = { contentType: 'text/plain', consumers: [consumer], ...(fork && { fork }) };
        return { expected: model.create(name, true, fork), answer: log.create(name, options).then(withoutState) };
      }
      case 'append': {
        const script = this.scriptOf(name, command);
        return { expected: model.append(name, script), answer: log.append(name, this.appendOf(script)) };
      }
      case 'acquire': {
        const holder = this.holders[command.holder]!;
        return { expected: model.acquire(name, holder), answer: log.consumers.acquire(name, consumer, holder) };
      }
      case 'leave': {
        model.leave(this.holders[command.holder]!);
        return { expected: undefined, answer: log.holders.leave(this.holders[command.holder]!) };
      }
      case 'release': {
        const epoch = model.epochOf(name) - command.epochBack;
        const upTo = model.headOf(name) - command.behind;
        return {
          expected: model.release(name, epoch, upTo),
          answer: log.consumers.release(name, consumer, { epoch, upTo }),
        };
      }
      case 'read':
        return {
          expected: model.read(name, command.seq),
          answer: log.read(name, { after: command.seq }).then(withBodies),
        };
      case 'truncate':
        model.truncate(name, command.seq);
        return { expected: undefined, answer: log.truncate(name, command.seq) };
      case 'pack':
        return { expected: undefined, answer: log.pack(name, command.seq).then(() => undefined) };
      case 'delete':
        return { expected: model.delete(name), answer: log.delete(name) };
      case 'reopen':
        return { expected: undefined, answer: this.reopen() };
    }
  }

  /** Holders do not live on in every store: after a crash an embedded one knows that they are dead. So nothing is held here. */
  private async reopen(): Promise<void> {
    if (!this.suite.reopen || this.suite.runs > 200) return;
    for (const holder of this.holders) {
      this.model.leave(holder);
      await this.log.holders.leave(holder);
    }
    this.suite.log = await this.suite.reopen(this.suite.log);
  }

  private scriptOf(name: string, command: Extract<Command, { kind: 'append' }>): ModelAppend {
    const { sizes, key, epochBack, producer, row, headBack, close } = command;
    return {
      bodies: sizes.map((size) => `${(this.bodies += 1)} ${'abcdefghij'.repeat(30).slice(0, size)}`),
      ...(key && { key: { id: `k${key.id}`, hash: `h${key.hash}` } }),
      ...(epochBack !== null && { epoch: this.model.epochOf(name) - epochBack }),
      ...(producer && { producer: { id: 'p', ...producer } }),
      ...(row && { row: { key: `r${row.key}`, value: row.remove ? undefined : `v${(this.bodies += 1)}` } }),
      ...(headBack !== null && { ifHead: Math.max(0, this.model.headOf(name) - headBack) }),
      close,
    };
  }

  private appendOf({ bodies, key, epoch, producer, row, ifHead, close }: ModelAppend): Append {
    const place = { table: this.table, key: row?.key ?? '' };
    return {
      records: bodies.map(bytes),
      ...(key && { key }),
      ...(epoch !== undefined && { fence: { consumer: this.consumer, epoch } }),
      ...(producer && { producer }),
      ...(ifHead !== undefined && { ifHead }),
      ...(row && {
        rows: [row.value === undefined ? { ...place, remove: true } : { ...place, order: 1, value: bytes(row.value) }],
      }),
      close,
    };
  }
}

/** Times are the store's own. */
function comparable(answer: unknown): unknown {
  if (typeof answer !== 'object' || answer === null) return answer;
  const {
    at: _at,
    remainingMs: _remaining,
    ...rest
  } = answer as Extract<AppendVerdict, { kind: 'appended' }> & { remainingMs?: number };
  return rest;
}

function withoutState({ kind, ...rest }: { readonly kind: string; readonly head?: number }): unknown {
  return kind === 'fork-beyond-head' ? { kind, head: rest.head } : { kind };
}

function withBodies(verdict: Awaited<ReturnType<Log['read']>>): unknown {
  if (verdict.kind !== 'page') return verdict;
  return { kind: 'page', bodies: texts(verdict.records), head: verdict.head, closed: verdict.closed };
}
