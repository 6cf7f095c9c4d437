/**
 * Every setting of the gateway: its name in the file and in the environment, its kind, its default, what it does.
 *
 * 1. A setting is a row here or it does not exist; the help, the documents and the reader are all made of this table.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import {
  checked,
  flagField,
  listField,
  numberField,
  textField,
  urlField,
  wordField,
  type Field,
} from './config-field.ts';

export type StoreConfig =
  | { readonly kind: 'sqlite' }
  | { readonly kind: 'memory' }
  | { readonly kind: 'postgres'; readonly url: string };

export interface Limits {
  /** Of a request's body; larger ones are `body-too-large`. */
  readonly bodyBytesMax: number;
  readonly blobBytesMax: number;
  /** Nested arrays and objects in a body; deeper ones are `too-deep`. */
  readonly bodyDepthMax: number;
  /** Messages that wait in one session; further ones are `queue-full`. */
  readonly queueMax: number;
  /** Turns that run at once in this process; further ones wait for a slot, here or on another node. */
  readonly turnsMax: number;
  /** Open streams of this process, and of one subject; further ones are `too-many-readers`. */
  readonly readersMax: number;
  readonly readersPerSubjectMax: number;
  /** A token's bucket: requests a second, and how many may come at once. Beyond them: `rate-limited`. */
  readonly requestsPerS: number;
  readonly requestsBurst: number;
  /** A reader that takes nothing for so long, with its buffers full, is told `too-slow`. */
  readonly readerStallMs: number;
}

export interface Config {
  readonly host: string;
  readonly port: number;
  readonly data: string;
  readonly store: StoreConfig;
  readonly token: string | undefined;
  readonly open: boolean;
  readonly workspace: string | undefined;
  readonly unsandboxedTools: boolean;
  readonly sandbox: 'auto' | 'off' | 'required';
  readonly sandboxNetwork: boolean;
  readonly log: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly publicUrl: URL | undefined;
  readonly origins: readonly string[];
  readonly hosts: readonly string[];
  readonly tls: { readonly cert: string | undefined; readonly key: string | undefined };
  readonly drainMs: number;
  /** Of many nodes: how long one owns its sessions without a sign of life. */
  readonly leaseMs: number;
  readonly web: string | undefined;
  readonly agent: string | undefined;
  readonly model: {
    readonly url: URL | undefined;
    readonly key: string | undefined;
    readonly name: string | undefined;
    readonly system: string | undefined;
    readonly contextTokens: number | undefined;
    readonly tools: readonly string[];
  };
  readonly tokens: {
    readonly accessS: number;
    readonly refreshS: number;
    readonly graceS: number;
    readonly startS: number;
    readonly cookieS: number;
  };
  readonly terminals: {
    readonly on: 'off' | 'on';
    readonly shell: string | undefined;
    /** Without a reader for so long, a terminal is ended. */
    readonly idleMs: number;
    /** Output that its reader has not confirmed; with so much of it the pty is paused. */
    readonly windowBytes: number;
    /** Of this process, and of one subject; further ones are `too-many-terminals`. */
    readonly max: number;
    readonly perSubjectMax: number;
  };
  readonly limits: Limits;
}

type Fields<T> = { readonly [K in keyof T]: Field<T[K]> };
export type Group = 'tls' | 'model' | 'tokens' | 'terminals' | 'limits';
export type Table = Fields<Omit<Config, Group>> & { readonly [K in Group]: Fields<Config[K]> };

const MIB = 1024 * 1024;

export const TABLE: Table = {
  host: required({ env: 'HOLDFAST_HOST', about: 'The address to listen on' }, '127.0.0.1'),
  port: portField(),
  data: required({ env: 'HOLDFAST_DATA', about: 'The directory of the database and blobs' }, defaultDataDirectory()),
  store: storeField(),
  token: textField({ env: 'HOLDFAST_TOKEN', about: 'An admin bearer for scripts', secret: true }, undefined),
  open: flagField({ env: 'HOLDFAST_OPEN', about: 'Open a browser at the start' }, true),
  workspace: textField({ env: 'HOLDFAST_WORKSPACE', about: 'The directory that tools work in' }, undefined),
  unsandboxedTools: flagField(
    {
      env: 'HOLDFAST_UNSANDBOXED_TOOLS',
      about: 'Let everybody with the scope tools, not admins alone, allow commands that run without a sandbox',
    },
    false,
  ),
  sandbox: wordField(
    {
      env: 'HOLDFAST_SANDBOX',
      about: 'Confine commands of tools: if the machine can (auto), never, or not start without',
    },
    ['auto', 'off', 'required'],
    'auto',
  ),
  sandboxNetwork: flagField(
    { env: 'HOLDFAST_SANDBOX_NETWORK', about: 'Let commands in the sandbox use the network' },
    false,
  ),
  log: wordField(
    { env: 'HOLDFAST_LOG', about: 'How much is logged' },
    ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
    'info',
  ),
  publicUrl: publicUrlField(),
  origins: originsField(),
  hosts: listField({ env: 'HOLDFAST_HOSTS', about: 'Further host names that the gateway answers to' }, []),
  tls: {
    cert: textField({ env: 'HOLDFAST_TLS_CERT', about: 'A certificate (PEM file), to serve https' }, undefined),
    key: textField({ env: 'HOLDFAST_TLS_KEY', about: "The certificate's key (PEM file)" }, undefined),
  },
  drainMs: numberField(
    { env: 'HOLDFAST_DRAIN_MS', about: 'How long running turns may go on after SIGTERM' },
    10_000,
    0,
    20_000,
  ),
  leaseMs: numberField(
    {
      env: 'HOLDFAST_LEASE_MS',
      about: 'On PostgreSQL: how long a node keeps its sessions without a sign of life; then another takes them over',
    },
    4_000,
    1_000,
    60_000,
  ),
  web: textField({ env: 'HOLDFAST_WEB', about: "The web app's build" }, undefined),
  agent: textField({ env: 'HOLDFAST_AGENT', about: 'The agent of sessions that name none' }, undefined),
  model: {
    url: urlField({ env: 'HOLDFAST_MODEL_URL', about: 'An OpenAI-compatible endpoint' }, ['http:', 'https:']),
    key: textField({ env: 'HOLDFAST_MODEL_KEY', about: 'Its key', secret: true }, undefined),
    name: textField({ env: 'HOLDFAST_MODEL', about: 'The model to ask for' }, undefined),
    system: textField({ env: 'HOLDFAST_MODEL_SYSTEM', about: 'The system prompt' }, undefined),
    contextTokens: checked(
      numberField(
        { env: 'HOLDFAST_MODEL_CONTEXT', about: 'Its context window in tokens; 0: ask the server' },
        0,
        0,
        100_000_000,
      ),
      undefined,
      (tokens) => ({ kind: 'value', value: tokens === 0 ? undefined : tokens }),
    ),
    tools: listField({ env: 'HOLDFAST_MODEL_TOOLS', about: 'The tools that run without asking' }, []),
  },
  tokens: {
    accessS: numberField(
      { env: 'HOLDFAST_ACCESS_S', about: 'How long an access token lasts, in seconds' },
      900,
      1,
      31_536_000,
    ),
    refreshS: numberField(
      { env: 'HOLDFAST_REFRESH_S', about: 'How long an unused refresh token lasts' },
      2_592_000,
      1,
      315_360_000,
    ),
    graceS: numberField(
      { env: 'HOLDFAST_GRACE_S', about: 'How long a used refresh token gets the same answer again' },
      60,
      0,
      3_600,
    ),
    startS: numberField({ env: 'HOLDFAST_START_S', about: 'How long a start link lasts' }, 600, 1, 86_400),
    cookieS: numberField(
      { env: 'HOLDFAST_COOKIE_S', about: "How long a browser's session lasts" },
      2_592_000,
      60,
      315_360_000,
    ),
  },
  terminals: {
    on: wordField(
      { env: 'HOLDFAST_TERMINALS', about: 'Let admins open terminals: shells of the user that runs the gateway' },
      ['off', 'on'],
      'off',
    ),
    shell: textField(
      { env: 'HOLDFAST_TERMINAL_SHELL', about: 'What a terminal runs; else SHELL, else /bin/sh' },
      undefined,
    ),
    idleMs: numberField(
      { env: 'HOLDFAST_TERMINAL_IDLE_MS', about: 'How long a terminal may go without a reader' },
      1_800_000,
      100,
      86_400_000,
    ),
    windowBytes: numberField(
      {
        env: 'HOLDFAST_TERMINAL_WINDOW_BYTES',
        about: 'Output that waits for its reader; then the process stands still',
      },
      MIB,
      4_096,
      64 * MIB,
    ),
    max: numberField({ env: 'HOLDFAST_TERMINALS_MAX', about: 'Open terminals of the process' }, 64, 1, 10_000),
    perSubjectMax: numberField(
      { env: 'HOLDFAST_TERMINALS_PER_SUBJECT_MAX', about: 'Open terminals of one subject' },
      16,
      1,
      10_000,
    ),
  },
  limits: {
    bodyBytesMax: numberField(
      { env: 'HOLDFAST_BODY_BYTES_MAX', about: 'The largest request body' },
      MIB,
      1_024,
      256 * MIB,
    ),
    blobBytesMax: numberField(
      { env: 'HOLDFAST_BLOB_BYTES_MAX', about: 'The largest attachment' },
      32 * MIB,
      1_024,
      16_384 * MIB,
    ),
    bodyDepthMax: numberField({ env: 'HOLDFAST_BODY_DEPTH_MAX', about: 'The deepest nesting of a body' }, 32, 4, 1_000),
    queueMax: numberField(
      { env: 'HOLDFAST_QUEUE_MAX', about: 'Messages that may wait in one session' },
      1_000,
      1,
      1_000_000,
    ),
    turnsMax: numberField(
      { env: 'HOLDFAST_TURNS_MAX', about: 'Turns that run at once in the process; more wait for a slot' },
      256,
      1,
      100_000,
    ),
    readersMax: numberField(
      { env: 'HOLDFAST_READERS_MAX', about: 'Open streams of the process' },
      20_000,
      1,
      1_000_000,
    ),
    readersPerSubjectMax: numberField(
      { env: 'HOLDFAST_READERS_PER_SUBJECT_MAX', about: 'Open streams of one subject' },
      10_000,
      1,
      1_000_000,
    ),
    requestsPerS: numberField(
      { env: 'HOLDFAST_REQUESTS_PER_S', about: 'Requests a second of one token' },
      2_000,
      1,
      10_000_000,
    ),
    requestsBurst: numberField(
      { env: 'HOLDFAST_REQUESTS_BURST', about: 'Requests that one token may send at once' },
      10_000,
      1,
      10_000_000,
    ),
    readerStallMs: numberField(
      { env: 'HOLDFAST_READER_STALL_MS', about: 'How long a reader may take nothing with full buffers' },
      30_000,
      100,
      3_600_000,
    ),
  },
};

// ── fields with a rule of their own ─────────────────────────────────────────────────────────────────────────────────

type About = Parameters<typeof textField>[0];

function required(about: About, fallback: string): Field<string> {
  return checked(textField(about, fallback), fallback, (text) => ({ kind: 'value', value: text ?? fallback }));
}

function portField(): Field<number> {
  const field = numberField(
    { env: 'HOLDFAST_PORT', about: 'The port to listen on; 0: any, which is printed' },
    7420,
    0,
    65_535,
  );
  // A Kubernetes service called "holdfast" puts this variable into every pod beside it.
  const linked =
    'is set by a Kubernetes service link. Set enableServiceLinks: false in the pod, or HOLDFAST_PORT to a number.';
  return {
    ...field,
    read: (raw) =>
      typeof raw === 'string' && raw.startsWith('tcp://') ? { kind: 'wrong', why: linked } : field.read(raw),
  };
}

function storeField(): Field<StoreConfig> {
  const text = textField({ env: 'HOLDFAST_STORE', about: 'sqlite, memory, or a postgres URL', secret: true }, 'sqlite');
  return checked<string | undefined, StoreConfig>(text, { kind: 'sqlite' }, (name) => {
    if (name === 'sqlite' || name === 'memory') return { kind: 'value', value: { kind: name } };
    if (name !== undefined && /^postgres(ql)?:\/\/./.test(name) && URL.canParse(name))
      return { kind: 'value', value: { kind: 'postgres', url: name } };
    return {
      kind: 'wrong',
      why:
        name === 'postgres'
          ? "is 'postgres', which names no server. Set it to a URL: postgres://user@host/db."
          : 'names no store. Set it to sqlite, memory or a URL: postgres://user@host/db.',
    };
  });
}

/** What is sent to people is made of it by adding to its end. */
function publicUrlField(): Field<URL | undefined> {
  const about = 'The address behind a proxy: its host and path prefix are allowed';
  const url = urlField({ env: 'HOLDFAST_PUBLIC_URL', about }, ['http:', 'https:']);
  return checked<URL | undefined, URL | undefined>(url, undefined, (found) =>
    found === undefined || found.href === `${found.origin}${found.pathname}`
      ? { kind: 'value', value: found }
      : {
          kind: 'wrong',
          why: 'has more than a host and a path. Set it to an address like https://example.com/holdfast.',
        },
  );
}

function originsField(): Field<readonly string[]> {
  const list = listField({ env: 'HOLDFAST_ORIGINS', about: 'Web origins that may call the gateway (CORS)' }, []);
  return checked(list, [], (origins) => {
    const bad = origins.find((origin) => !URL.canParse(origin) || new URL(origin).origin !== origin);
    return bad === undefined
      ? { kind: 'value', value: origins }
      : {
          kind: 'wrong',
          why: `holds '${bad}', which is no origin. An origin is a scheme, a host and a port: https://app.example.com.`,
        };
  });
}

function defaultDataDirectory(): string {
  const home = process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share');
  return join(home, 'holdfast');
}
