/**
 * `npm run conformance -- --store memory|sqlite|postgres`: the suite that every store passes, on its own.
 *
 * The last line on standard output is the summary, as JSON: `{"store":"sqlite","passed":61,"failed":0,"skipped":1,…}`.
 * The exit code is 0 only where nothing failed and something passed.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const stores = ['memory', 'sqlite', 'postgres'];

const { values } = parseArgs({ options: { store: { type: 'string' } } });
process.exitCode = await main(values.store);

async function main(store: string | undefined): Promise<number> {
  if (store === undefined || !stores.includes(store)) {
    console.error(`--store ${store ?? '(none)'} names no store. Say which one is tested: ${stores.join(', ')}.`);
    return 2;
  }
  const file = `packages/log/test/${store}.conformance.test.ts`;
  if (!existsSync(join(root, file))) {
    console.error(`The ${store} store has no conformance test yet (${file}).`);
    return 2;
  }
  const startedAt = process.hrtime.bigint();
  const report = await runVitest(file);
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  const summary = { store, ...countsOf(report), seconds: Number(seconds.toFixed(1)) };
  console.log(JSON.stringify(summary));
  return summary.failed === 0 && summary.passed > 0 ? 0 : 1;
}

async function runVitest(file: string): Promise<Report | undefined> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-conformance-'));
  const reportFile = join(dir, 'report.json');
  const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
  const args = [vitest, 'run', file, '--reporter=verbose', '--reporter=json', `--outputFile.json=${reportFile}`];
  try {
    await new Promise<void>((resolve, reject) => {
      const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
      child.on('error', reject);
      child.on('close', () => resolve());
    });
    return existsSync(reportFile) ? (JSON.parse(readFileSync(reportFile, 'utf8')) as Report) : undefined;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A file that did not load has no assertions: it counts as one failure. */
function countsOf(
  report: Report | undefined,
): Record<'passed' | 'failed' | 'skipped', number> & { violations: string[] } {
  if (!report) return { passed: 0, failed: 1, skipped: 0, violations: ['the suite did not run'] };
  const unloaded = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
  ).length;
  const failed = report.testResults
    .flatMap((file) => file.assertionResults)
    .filter(({ status }) => status === 'failed');
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded,
    skipped: report.numPendingTests,
    violations: failed.map(({ fullName }) => fullName),
  };
}
