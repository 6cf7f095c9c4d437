/** The whole proof is `npm run mutants`; here are the patches, and those that are found at once. */
import { expect, test } from 'vitest';
import { doApply, hunt, loadMutants } from './mutant.ts';

const mutants = await loadMutants();

test('every mutant says what it breaks, and still applies', async () => {
  expect(mutants.length).toBeGreaterThanOrEqual(20);
  for (const { name, breaks, what } of mutants) expect([name, breaks, what]).not.toContain('');
  expect(await doApply(mutants)).toEqual([]);
});

test.each(['r01-claim-without-check', 'r18-release-below-the-head', 'snapshot-ahead-of-the-tail'])(
  'the simulation finds %s',
  async (name) => {
    const mutant = mutants.find((other) => other.name === name);
    expect(await hunt(mutant!, { runs: 60 })).toMatchObject({ kind: 'found' });
  },
  120_000,
);
