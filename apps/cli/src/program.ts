/** All commands, with their help. Each loads what it needs when it runs: `--help` is quick. */
import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import type { ConnectOptions } from './connect.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  readonly version: string;
};

const remote = (command: Command): Command =>
  command
    .addOption(new Option('--url <url>', 'the gateway').env('HOLDFAST_URL'))
    .addOption(new Option('--token <token>', 'a bearer token').env('HOLDFAST_TOKEN'));

export function createProgram(): Command {
  const program = new Command('holdfast')
    .description('A self-hosted streaming runtime for conversations with AI agents.')
    .version(version)
    .showHelpAfterError('(holdfast --help lists the commands)')
    .exitOverride();

  program
    .command('serve')
    .description('run the gateway, with the web app')
    .addHelpText(
      'after',
      () => `\nIt is configured by holdfast.config.json and the environment; holdfast config lists the settings.`,
    )
    .action(async () => (await import('./serve.ts')).serve());

  program
    .command('config')
    .description('list every setting, its default and what it does')
    .action(async () => (await import('./config.ts')).printConfig());

  remote(program.command('chat'))
    .description('talk to an agent in the terminal; Ctrl-C stops the turn, twice leaves')
    .argument('[session]', 'the session to go on with; a new one without')
    .option('--agent <name>', 'the agent of a new session')
    .option('--once <text>', 'send one message, print the answer, leave ("-" reads it from standard input)')
    .action(
      async (
        session: string | undefined,
        options: ConnectOptions & { readonly agent?: string; readonly once?: string },
      ) => (await import('./chat.ts')).chat(session, options),
    );

  remote(program.command('tail'))
    .description('print a session’s entries as they come, from the first or after a cursor')
    .argument('<session>')
    .option('--after <cursor>', 'the cursor of the last entry you have', '0')
    .option('--no-follow', 'end at the present head')
    .action(async (session: string, options: ConnectOptions & { readonly after: string; readonly follow: boolean }) =>
      (await import('./tail.ts')).tail(session, options),
    );

  remote(program.command('sessions'))
    .description('list sessions, the newest first')
    .argument('[words]', 'only those in which these words occur')
    .option('--json', 'one JSON object a line', false)
    .action(async (words: string | undefined, options: ConnectOptions & { readonly json: boolean }) =>
      (await import('./sessions.ts')).sessions(words, options),
    );

  remote(program.command('export'))
    .description('print a whole session as JSON lines')
    .argument('<session>')
    .action(async (session: string, options: ConnectOptions) =>
      (await import('./sessions.ts')).exportSession(session, options),
    );

  addToken(program.command('token').description('issue, list and revoke tokens; make a link that opens the page'));

  program
    .command('doctor')
    .description('check the installation: Node, data, database, disk, port, model, workspace')
    .action(async () => (await import('./doctor.ts')).doctor());

  program
    .command('backup')
    .description('write the database of this moment to a file, while the gateway runs')
    .argument('<file>', 'a new file; to restore, stop the gateway and put it in the data directory as holdfast.db')
    .action(async (file: string) => (await import('./backup.ts')).backup(file));

  program
    .command('rehearse')
    .description('print what the rehearsal agent answers to a message, without a gateway')
    .argument('<message>', 'for example "/scene plain tokens=200 seed=7"')
    .option('--answer <answer>', 'the answer to a scene that asks')
    .action(async (message: string, options: { readonly answer?: string }) =>
      (await import('./rehearse.ts')).printRehearsal(message, options),
    );

  return program;
}

function addToken(token: Command): void {
  remote(token.command('create'))
    .description('issue a token and print it, once')
    .requiredOption('--subject <name>', 'whose token it is')
    .option('--scopes <scopes>', 'of read, write, admin', 'read,write')
    .option('--label <text>', 'what it is for')
    .option('--expires <seconds>', 'how long it lasts; for ever without')
    .action(
      async (
        options: ConnectOptions & {
          readonly subject: string;
          readonly scopes: string;
          readonly label?: string;
          readonly expires?: string;
        },
      ) => (await import('./token.ts')).createToken(options),
    );
  remote(token.command('list'))
    .description('who holds tokens')
    .action(async (options: ConnectOptions) => (await import('./token.ts')).listTokens(options));
  remote(token.command('revoke'))
    .description('end a token, and the streams that were opened with it')
    .argument('<id>', 'as listed')
    .action(async (id: string, options: ConnectOptions) => (await import('./token.ts')).revokeToken(id, options));
  remote(token.command('link'))
    .description('make a link that opens the page, once')
    .action(async (options: ConnectOptions) => (await import('./token.ts')).printLink(options));
}
