/** The configuration, as every command reads it. */
import { configHelp, loadConfig, type Config } from '@holdfast/gateway';
import { fault, FaultError } from '@holdfast/protocol';

/** @throws FaultError that names every problem */
export function readConfig(): Config {
  const loaded = loadConfig(process.env, process.cwd());
  if (loaded.kind === 'config') return loaded.config;
  throw new FaultError(fault('invalid-config', `the configuration is not usable.\n  ${loaded.problems.join('\n  ')}`));
}

export function printConfig(): void {
  const rows = configHelp();
  const width = Math.max(...rows.map((row) => row.env.length));
  for (const { env, key, about, fallback } of rows) {
    process.stdout.write(
      `${env.padEnd(width)}  ${about}${fallback === '' ? '' : ` (${fallback})`}\n${' '.repeat(width)}  in holdfast.config.json: ${key}\n`,
    );
  }
}
