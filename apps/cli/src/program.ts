/**
 * All commands, with their help. Each loads what it needs when it runs: `--help` is quick.
 */
import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import type { ChatOptions } from './chat/chat.ts';
import type { ConnectOptions } from './connect.ts';
import type { DoctorOptions } from './doctor.ts';
import type { MigrateOptions } from './migrate.ts';
import type { RehearseOptions } from './rehearse.ts';
import type { ServeOptions } from './serve.ts';
import type { SessionsOptions } from './sessions.ts';
import type { TailOptions } from './tail.ts';
import type { TerminalOptions } from './terminal.ts';
import type { CreateTokenOptions } from './token.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  readonly version: string;
};

/** A command that talks to a gateway. */
const remote = (command: Command): Command =>
  command
    .addOption(new Option('--url <url>', 'the gateway; else the one that runs here').env('HOLDFAST_URL'))
    .addOption(new Option('--token <token>', 'a bearer token; else the local one').env('HOLDFAST_TOKEN'));

const asJson = (command: Command): Command => command.option('--json', 'one JSON object a line', false);

const examples = (...lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  $ ${line}\n`).join('')}`;

export function createProgram(): Command {
  const program = new Command('holdfast')
    .description('A self-hosted streaming runtime for conversations with AI agents.')
    .version(version)
    .showSuggestionAfterError()
    .showHelpAfterError('holdfast --help lists the commands.')
    .addHelpText('after', examples('holdfast serve', 'holdfast chat', 'holdfast doctor'))
    // Commands take over how it exits where they are made.
    .exitOverride();

  addServe(program);
  addTalking(program);
  addSessions(program);
  addTerminal(program);
  addToken(program.command('token').description('issue, list and revoke tokens; make a link that opens the page'));
  addCare(program);
  return program;
}

function addServe(program: Command): void {
  program
    .command('serve')
    .description('run the gateway, with the web app')
    .option('--host <host>', 'the address to listen on (HOLDFAST_HOST)')
    .option('--port <port>', 'the port; 0: any, which is printed (HOLDFAST_PORT)')
    .option('--data <directory>', 'where everything is kept (HOLDFAST_DATA)')
    .option('--no-open', 'do not open a browser (HOLDFAST_OPEN=0)')
    .addHelpText(
      'after',
      '\nIt is configured by holdfast.config.json and the environment; "holdfast config" lists every setting.\n' +
        'SIGTERM and Ctrl-C end it in order: running answers may finish for a while, a second one does not wait.\n' +
        examples(
          'holdfast serve --port 8080',
          'HOLDFAST_MODEL_URL=http://127.0.0.1:11434/v1 HOLDFAST_MODEL=qwen3 holdfast serve',
        ),
    )
    .action(async (options: ServeOptions) => (await import('./serve.ts')).serve(options));

  program
    .command('config')
    .description('list every setting, its default and what it does')
    .action(async () => (await import('./config.ts')).printConfig());
}

function addTalking(program: Command): void {
  remote(program.command('chat'))
    .description('talk to an agent in the terminal')
    .argument('[session]', 'the session to go on with; without it the one that changed last')
    .option('--new', 'begin a new session', false)
    .option('--agent <name>', 'the agent of a new session')
    .option('--model <name>', 'the model of a new session')
    .option('--once [message]', 'send one message, print the answer, leave; "-" or nothing: read it from stdin')
    .option('--json', 'with --once: print the outcome as JSON', false)
    .addHelpText(
      'after',
      '\nCtrl-C stops the answer, a second one leaves; Ctrl-D leaves. Leaving stops nothing: the turn goes on in the\n' +
        'gateway, and any client can take it up. Without a terminal each line of stdin is a message, or the answer\n' +
        'to a prompt. With --once a new session is made unless one is named.\n' +
        '\nExit code: 0 the answer is whole, 1 it is not, 2 bad input, 3 the turn waits for a person, 130 Ctrl-C.\n' +
        examples(
          'holdfast chat',
          'holdfast chat --once "What is a holdfast?" > answer.md',
          'git diff | holdfast chat --once --json | jq -r .text',
        ),
    )
    .action(async (session: string | undefined, options: ChatOptions) =>
      (await import('./chat/chat.ts')).chat(session, options),
    );

  program
    .command('rehearse')
    .description('print what the rehearsal agent answers to a message, without a gateway')
    .argument('<message...>', 'any text, or a scene: "/scene NAME key=value …"')
    .option('--answer <answer>', 'what a scene that asks is answered')
    .option('--unanswered', 'nobody answers a scene that asks', false)
    .addHelpText('after', examples('holdfast rehearse "/scene plain tokens=200 seed=7"'))
    .action(async (message: readonly string[], options: RehearseOptions) =>
      (await import('./rehearse.ts')).printRehearsal(message, options),
    );
}

function addSessions(program: Command): void {
  asJson(remote(program.command('sessions')))
    .description('list sessions, the one that changed last first')
    .argument('[words...]', 'only those in which all these words occur')
    .option('--limit <count>', 'at most so many', '50')
    .action(async (words: readonly string[], options: SessionsOptions) =>
      (await import('./sessions.ts')).sessions(words, options),
    );

  asJson(remote(program.command('tail')))
    .description('print the entries of a session as they come')
    .argument('<session>')
    .option('--after <cursor>', 'only those after this one; 0: all', '0')
    .option('--no-follow', 'end at the present head')
    .addHelpText(
      'after',
      '\nEach line begins with its cursor: pass the last one that you have to --after, and nothing is missed or doubled.\n' +
        examples('holdfast tail s_1', 'holdfast tail s_1 --json --after 12.0a1b2c3d | jq -r .type'),
    )
    .action(async (session: string, options: TailOptions) => (await import('./tail.ts')).tail(session, options));

  remote(program.command('export'))
    .description('write a whole session as JSON lines')
    .argument('<session>')
    .argument('[file]', 'a new file; without it: stdout')
    .action(async (session: string, file: string | undefined, options: ConnectOptions) =>
      (await import('./transfer.ts')).exportSession(session, file, options),
    );
  remote(program.command('import'))
    .description('make a new session of an exported one, and print its id')
    .argument('<file>', 'what "holdfast export" wrote')
    .action(async (file: string, options: ConnectOptions) =>
      (await import('./transfer.ts')).importSession(file, options),
    );
}

function addTerminal(program: Command): void {
  asJson(remote(program.command('terminal')))
    .description("open a terminal of the gateway's machine in this one (HOLDFAST_TERMINALS=on, admins only)")
    .argument('[command...]', 'what runs in it; without it a shell')
    .option('--attach <id>', 'take up one that runs, here or wherever else it was open')
    .option('--list', 'list yours', false)
    .addHelpText(
      'after',
      '\nCtrl-] leaves it running; all other keys are its own. A lost connection is made again, and nothing that was printed or\n' +
        'typed is lost or doubled. One that nobody looks at ends after a while (HOLDFAST_TERMINAL_IDLE_MS).\n' +
        '\nExit code: that of the command; 128 and the number of the signal that ended it.\n' +
        examples('holdfast terminal', 'holdfast terminal -- top -d 1', 'holdfast terminal --list'),
    )
    .action(async (command: readonly string[], options: TerminalOptions) =>
      (await import('./terminal.ts')).terminal(command, options),
    );
}

function addToken(token: Command): void {
  asJson(remote(token.command('create')))
    .description('issue a token and print it, once')
    .requiredOption('--subject <name>', 'whose token it is')
    .option('--scopes <scopes>', 'of read, write, tools (may allow commands), admin, with commas between', 'read,write')
    .option('--label <text>', 'what it is for')
    .option('--expires <time>', 'how long it lasts: 90s, 15m, 12h, 30d; for ever without')
    .option('--refresh', 'a short token, and on the next line the one that renews it', false)
    .addHelpText('after', examples('holdfast token create --subject phone --scopes read,write --expires 30d'))
    .action(async (options: CreateTokenOptions) => (await import('./token.ts')).createToken(options));
  asJson(remote(token.command('list')))
    .description('who holds tokens')
    .action(async (options: ConnectOptions & { readonly json: boolean }) =>
      (await import('./token.ts')).listTokens(options),
    );
  remote(token.command('revoke'))
    .description('end a token; streams that were opened with it end within a second')
    .argument('<id>', 'as listed')
    .action(async (id: string, options: ConnectOptions) => (await import('./token.ts')).revokeToken(id, options));
  remote(token.command('link'))
    .description('make a link that opens the page, once')
    .action(async (options: ConnectOptions) => (await import('./token.ts')).printLink(options));
}

function addCare(program: Command): void {
  asJson(program.command('doctor'))
    .description('check Node, configuration, data, database, disk, port, model and workspace, each with the cure')
    .addHelpText(
      'after',
      '\nIt changes nothing, and can run beside a gateway. Exit code: 0 where nothing is wrong, else 1.\n',
    )
    .action(async (options: DoctorOptions) => (await import('./doctor.ts')).doctor(options));

  program
    .command('backup')
    .description('write everything, as of this moment, to one file, while the gateway runs')
    .argument('<file>', 'a new file')
    .addHelpText(
      'after',
      examples('holdfast backup holdfast-$(date +%F).db', 'holdfast restore holdfast-2030-01-01.db'),
    )
    .action(async (file: string) => (await import('./backup.ts')).backup(file));
  program
    .command('restore')
    .description('put a backup in place of the database; what is there now is kept beside it')
    .argument('<file>', 'what "holdfast backup" wrote')
    .action(async (file: string) => (await import('./backup.ts')).restore(file));
  program
    .command('migrate')
    .description('move everything from one store to another, empty one: an embedded database to PostgreSQL, or back')
    .requiredOption('--from <store>', 'sqlite:DIRECTORY (a HOLDFAST_DATA) or postgres://user@host/database')
    .requiredOption('--to <store>', 'likewise')
    .option('--dry-run', 'say what would be moved and whether it can be; change nothing', false)
    .option('--restart', 'drop what an earlier, unfinished run has copied, and begin anew', false)
    .addHelpText(
      'after',
      '\nStop the gateways of both stores first: one that runs is named and nothing is begun. Sessions, tokens, attachments,\n' +
        'queues, waiting prompts and the places of readers go along: clients resume where they were, retries get their first\n' +
        'answer. It may be interrupted at any point; the same command goes on from there. At the end both sides are read\n' +
        'again and compared; only then is the copy put in place. The source is left as it was.\n' +
        '\nA password can be left out of the URL: PGPASSWORD is honoured. Exit code: 0 moved, 1 try again, 2 bad input.\n' +
        examples(
          'holdfast migrate --from sqlite:/var/lib/holdfast --to postgres://holdfast@db/holdfast --dry-run',
          'holdfast migrate --from sqlite:/var/lib/holdfast --to postgres://holdfast@db/holdfast',
          'holdfast migrate --from postgres://holdfast@db/holdfast --to sqlite:/var/lib/holdfast',
        ),
    )
    .action(async (options: MigrateOptions) => (await import('./migrate.ts')).migrate(options));
}
