/** `docs/mutants.md`: what was put back, which law found it, and how soon. */
import type { Hunt, Mutant } from './mutant.ts';

const HEAD = `# Mutants

Faults that the simulation must find. Each is a patch of a line or few in \`packages/testing/mutants\`; \`npm run mutants\` puts them back
one at a time, in a copy of the code, and runs the simulation until one of its laws is violated. R1–R37 are entries of
[races.md](races.md); L1–L14 are laws of the log (\`packages/log/src/port.ts\`). The laws that found them are described at the head of
\`ledger.ts\`, \`laws.ts\`, \`store.ts\` and \`run.ts\` in \`packages/testing/src/sim\`.

Made by \`npm run mutants -- --write\`. Where nothing found one, the runs it was given were too few: there the simulation is still weak.

| mutant | what it does | breaks | found by | in runs |
|---|---|---|---|---|
`;

export function documentOf(hunts: readonly (readonly [Mutant, Hunt | undefined])[]): string {
  return HEAD + hunts.map(([mutant, outcome]) => line(mutant, outcome)).join('');
}

function line({ name, what, breaks }: Mutant, outcome: Hunt | undefined): string {
  const [law, runs] = outcome?.kind === 'found' ? [outcome.laws.join(', '), String(outcome.runs)] : ['nothing', '–'];
  return `| \`${name}\` | ${what.replaceAll('|', '\\|')} | ${breaks} | ${law} | ${runs} |\n`;
}
