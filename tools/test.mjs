/**
 * `npm test`: every check in order, each timed, and one closing line. All of them run though an early one fails, so
 * that one run tells everything. The exit code is 0 only when every check passed and every test did.
 *
 *   npm test                     everything
 *   npm test -- packages/log     the same checks, with only the tests under this path
 *
 * The counts in the closing line are those of the tests; a test file that did not load counts as one failed test.
 * Before it stands each failed test with the first line of its error, so that the end of a long log says what failed.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const reportDir = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-test-'));
const reportFile = path.join(reportDir, 'report.json');

const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`];
const steps = [
  { name: 'lock file', command: 'node', args: ['tools/lock.mjs'] },
  { name: 'types', command: 'tsc', args: ['-b'] },
  { name: 'lint', command: 'oxlint', args: [] },
  { name: 'format', command: 'oxfmt', args: ['--check', '.'] },
  { name: 'dependencies', command: 'knip', args: [] },
  { name: 'tests', command: 'vitest', args: ['run', ...reporters, ...process.argv.slice(2)] },
];

const outcomes = [];
for (const { name, command, args } of steps) {
  console.log(`\n── ${name}: ${command}`);
  const startedAt = Date.now();
  const ok = (await run(command, args)) === 0;
  outcomes.push({ name, ok, seconds: (Date.now() - startedAt) / 1000 });
}

const { counts, failures } = readReport();
// An error outside every test, such as a rejection that nobody caught, fails the run without failing a test.
if (!outcomes.at(-1).ok && counts.failed === 0) counts.failed = 1;
fs.rmSync(reportDir, { recursive: true, force: true });

console.log('');
for (const { name, ok, seconds } of outcomes) {
  console.log(`${ok ? 'ok    ' : 'FAILED'}  ${name.padEnd(14)} ${seconds.toFixed(1).padStart(6)} s`);
}
for (const failure of failures) console.log(`\nFAILED  ${failure}`);
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
process.exitCode = outcomes.every(({ ok }) => ok) && counts.failed === 0 && counts.passed > 0 ? 0 : 1;
console.log(`\n${counts.passed} passed, ${counts.failed} failed${skipped}`);

function run(command, args) {
  const bin = path.join(root, 'node_modules', '.bin', process.platform === 'win32' ? `${command}.cmd` : command);
  return new Promise((resolve) => {
    const child = spawn(bin, args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      shell: process.platform === 'win32',
    });
    child.on('error', (error) => {
      console.error(`${command} did not start: ${error.message}. Run "npm run setup".`);
      resolve(1);
    });
    child.on('close', (code) => resolve(code ?? 1));
  });
}

function readReport() {
  if (!fs.existsSync(reportFile)) return { counts: { passed: 0, failed: 1, skipped: 0 }, failures: [] };
  const report = JSON.parse(fs.readFileSync(reportFile, 'utf8'));
  const failures = report.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const file = path.relative(root, name);
    if (status === 'failed' && assertionResults.length === 0) return [`${file}\n        ${firstLine(message)}`];
    return assertionResults
      .filter((test) => test.status === 'failed')
      .map((test) => `${file} > ${test.fullName}\n        ${firstLine(test.failureMessages[0])}`);
  });
  return {
    counts: {
      passed: report.numPassedTests,
      failed: failures.length,
      skipped: report.numPendingTests + report.numTodoTests,
    },
    failures,
  };
}

function firstLine(text = '') {
  return text.split('\n', 1)[0];
}
