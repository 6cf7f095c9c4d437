/** Logs out of the simulation are as tangled as logs get: what holds for their folds holds. */
import { EMPTY_VIEW, fold, foldAll, type Entry, type View } from '@holdfast/protocol';
import { Grammar } from '@holdfast/session';
import { array, assert, constantFrom, nat, property } from 'fast-check';
import { expect, test } from 'vitest';
import { planOf } from './plan.ts';
import { simulate } from './run.ts';

/** As a snapshot comes over the wire. */
const sent = (view: View): View => JSON.parse(JSON.stringify(view)) as View;

const logs: (readonly Entry[])[] = [];
for (let seed = 10_001; seed <= 10_030; seed += 1) logs.push(...(await simulate(planOf(seed))).logs.values());

const log = constantFrom(...logs);

test('R52: a snapshot at any seq and the entries after it give the view of the whole log', () => {
  assert(
    property(log, array(nat(), { maxLength: 8 }), (entries, draws) => {
      const cuts = draws.map((draw) => draw % (entries.length + 1)).toSorted((a, b) => a - b);
      let view = EMPTY_VIEW;
      let from = 0;
      for (const cut of cuts) {
        view = sent(foldAll(view, entries.slice(from, cut)));
        from = cut;
      }
      expect(sent(foldAll(view, entries.slice(from)))).toEqual(sent(foldAll(EMPTY_VIEW, entries)));
    }),
    { numRuns: 300 },
  );
});

test('R59: messages that an entry does not change stay the same objects', () => {
  assert(
    property(log, nat(), (entries, draw) => {
      const at = draw % entries.length;
      const before = foldAll(EMPTY_VIEW, entries.slice(0, at));
      const after = fold(before, entries[at]!);
      const known = new Map([...before.messages, ...before.offPath].map((message) => [message.id, message]));
      for (const message of [...after.messages, ...after.offPath]) {
        const same = known.get(message.id);
        if (same !== undefined && same !== message) expect(message).not.toEqual(same);
      }
    }),
    { numRuns: 300 },
  );
});

test('R57: an entry of a type that nobody knows yet moves the cursor and nothing else', () => {
  assert(
    property(log, nat(), (entries, draw) => {
      const before = foldAll(EMPTY_VIEW, entries.slice(0, draw % entries.length));
      const unknown = { seq: before.seq + 1, at: '2030-01-01T00:00:00.000Z', type: 'from-the-future' };
      const after = fold(before, unknown as unknown as Entry);
      expect(after).toEqual({ ...before, seq: unknown.seq, updatedAt: unknown.at });
    }),
    { numRuns: 100 },
  );
});

test('R81: every log that owners wrote follows the grammar, and none with a command or an end that comes twice', () => {
  const firstWrong = (entries: readonly Entry[]): string | undefined => {
    const grammar = new Grammar();
    for (const { seq, at: _at, ...body } of entries) {
      const wrong = grammar.take(body);
      if (wrong !== undefined) return `${seq}: ${wrong}`;
    }
    return undefined;
  };
  for (const entries of logs) {
    expect(firstWrong(entries)).toBeUndefined();
    for (const [index, entry] of entries.entries())
      if (entry.type === 'turn-end' || entry.type === 'session-open' || 'clientId' in entry)
        expect(firstWrong(entries.toSpliced(index, 0, entry))).toBeDefined();
  }
});
