/**
 * What a server says about an error, in any of the shapes that are about: an object, a list of them, one inside `error` or
 * `detail`, or plain text.
 */

export interface ServerError {
  /** The server's own words; empty if it gave none. */
  readonly message: string;
  readonly code?: string;
  readonly type?: string;
  /** The parameter of the request that the error is about. */
  readonly param?: string;
  /** If the error names an HTTP status, as proxies do. */
  readonly status?: number;
}

type Fields = Readonly<Record<string, unknown>>;

const DEPTH_MAX = 4;
const LIST_MAX = 5;
const MESSAGE_FIELDS = [
  'message',
  'msg',
  'error_message',
  'error_msg',
  'errorMessage',
  'description',
  'title',
  'reason',
];
const CODE_FIELDS = ['code', 'error_code', 'errorCode', 'status', 'status_code'];
const TYPE_FIELDS = ['type', 'error_type', 'errorType', '__type'];
const INNER_FIELDS = ['error', 'detail', 'errors'];

export function parseServerError(body: unknown): ServerError {
  const { fields, message } = unwrap(body, DEPTH_MAX);
  const code = firstOf(fields, CODE_FIELDS);
  const type = firstOf(fields, TYPE_FIELDS);
  const param = firstOf(fields, ['param']);
  const status = CODE_FIELDS.map((name) => Number(fields[name] ?? Number.NaN)).find((n) => n >= 400 && n < 600);
  return {
    message,
    ...(code === undefined ? {} : { code }),
    ...(type === undefined ? {} : { type }),
    ...(param === undefined ? {} : { param }),
    ...(status === undefined ? {} : { status }),
  };
}

/** Whether a frame tells of an error: by a field `error`, or, without `choices`, by any of the shapes of an error object. */
export function isServerError(value: Fields): boolean {
  if (isSaid(value['error'])) return true;
  if (Array.isArray(value['choices'])) return false;
  const named = ['error_type', 'error_message', 'error_msg', 'error_code', 'errorMessage', 'detail', 'errors'];
  return (
    value['object'] === 'error' ||
    value['type'] === 'error' ||
    named.some((name) => isSaid(value[name])) ||
    ['message', 'msg'].some((name) => typeof value[name] === 'string')
  );
}

/** An empty `error` beside an answer says that there is none. */
export const isSaid = (value: unknown): boolean =>
  typeof value === 'object' && value !== null
    ? Object.keys(value).length > 0
    : value !== undefined && value !== null && value !== '' && value !== false && value !== 0;

/** The innermost message, and the fields of all levels; inner ones go first. */
function unwrap(body: unknown, depth: number): { readonly fields: Fields; readonly message: string } {
  if (typeof body === 'string') return { fields: {}, message: body };
  if (Array.isArray(body)) {
    const all = body.slice(0, LIST_MAX).map((item: unknown) => unwrap(item, depth - 1));
    return {
      fields: all[0]?.fields ?? {},
      message: all
        .map(({ message }) => message)
        .filter(Boolean)
        .join('; '),
    };
  }
  if (!isFields(body)) return { fields: {}, message: '' };
  const inner = INNER_FIELDS.map((name) => body[name]).find(isSaid);
  if (inner !== undefined && depth > 0) {
    const { fields, message } = unwrap(inner, depth - 1);
    return { fields: { ...body, ...fields }, message: message === '' ? messageOf(body) : message };
  }
  return { fields: body, message: messageOf(body) };
}

function messageOf(fields: Fields): string {
  const found = MESSAGE_FIELDS.map((name) => fields[name]).find(isSaid);
  if (found === undefined) return '';
  const message = typeof found === 'string' ? found : JSON.stringify(found);
  // A validator's list says in `loc` which field it means.
  const { loc } = fields;
  return Array.isArray(loc) ? `${loc.join('.')}: ${message}` : message;
}

function firstOf(fields: Fields, names: readonly string[]): string | undefined {
  const found = names
    .map((name) => fields[name])
    .find((value) => typeof value === 'string' || typeof value === 'number');
  return found === undefined || found === '' ? undefined : String(found);
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
