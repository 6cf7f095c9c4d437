/** The configuration, as every command reads it. */
import { configHelp, loadConfig, type Environment } from '@holdfast/gateway/config';
import type { Config } from '@holdfast/gateway';
import { fault, FaultError } from '@holdfast/protocol/fault';

/** @throws FaultError that names every problem */
export function readConfig(changes: Environment = {}): Config {
  const loaded = loadConfig({ ...process.env, ...changes }, process.cwd());
  if (loaded.kind === 'config') return loaded.config;
  const [first, ...more] = loaded.problems;
  throw new FaultError(fault('invalid-config', [first, ...more.map((problem) => `          ${problem}`)].join('\n')));
}

export function printConfig(): void {
  for (const { env, key, about, fallback } of configHelp()) {
    process.stdout.write(
      `${env}\n    ${about}.${fallback === '' ? '' : ` Default: ${fallback}.`} In the file: ${key}.\n`,
    );
  }
}
