import { SwitchbackError } from '../../messages/index.ts';
import { TOKEN_NEEDED } from './token.ts';

/** An answer of Unleash's that isn't the one hoped for. */
export interface Refused {
  address: string;
  /** Method and path. */
  request: string;
  status: number;
  body: unknown;
  /** `Retry-After`, in milliseconds; null where it wasn't sent. */
  retryAfterMs: number | null;
}
/** The permission that people with change requests lack: without it they may propose a change, not make it. */
const SKIP_CHANGE_REQUEST = 'SKIP_CHANGE_REQUEST';
const MESSAGE_MAX = 300;

/**
 * The error that an answer of Unleash's Admin API stands for. 401 and a 403 about the token itself aren't here: see
 * `AdminApi`. Names of errors are those of unleash-server 6 to 8 (`dist/lib/error`).
 */
export function refusalOf({ address, request, status, body, retryAfterMs }: Refused): SwitchbackError {
  const { name, message, details, permissions } = partsOf(body);
  if (status === 429 || status >= 500) {
    return unreachable(address, `it answers ${status} to ${request}`, { status, retryAfterMs });
  }
  if (status >= 300 && status < 400) {
    return new SwitchbackError('UnleashUnreachable', `Unleash at ${address} sends ${request} elsewhere (${status})`, {
      hint: 'unleash.url must be the address that answers itself, with https where the server asks for it',
      fields: { address, status, hold: true },
    });
  }
  const reason = (message ?? 'no reason given').slice(0, MESSAGE_MAX);
  const refused = (what: string, hint: string): SwitchbackError =>
    new SwitchbackError('FlagRefused', `Unleash at ${address} refuses ${request} (${status}): ${what}`, {
      hint,
      fields: { address, status, name },
    });
  if (permissions.includes(SKIP_CHANGE_REQUEST)) {
    return refused(
      'changes there need a change request that somebody approves',
      `give the token's owner the permission ${SKIP_CHANGE_REQUEST}, or turn change requests off for the migration; where one environment of a project has them, archiving and deleting a flag needs it too`,
    );
  }
  if (status === 403 && permissions.length > 0) {
    return refused(`the token's owner lacks the permission ${permissions.join(' or ')}`, TOKEN_NEEDED);
  }
  if (name === 'PatternError') return refused(reason, "name the flag as the project's naming pattern says");
  return refused(
    [reason, ...details.filter((detail) => detail !== message)].join('; ').slice(0, 2 * MESSAGE_MAX),
    'check project, environment and name of the flag',
  );
}

export const unreachable = (
  address: string,
  reason: string,
  { status = null, retryAfterMs = null }: { status?: number | null; retryAfterMs?: number | null } = {},
): SwitchbackError =>
  new SwitchbackError('UnleashUnreachable', `Unleash at ${address} can't be reached (${reason})`, {
    retry: true,
    hint: 'check that it runs and that unleash.url points to it',
    fields: { address, ...(status !== null && { status }), ...(retryAfterMs !== null && { retryAfterMs }) },
  });

/** Whatever came back is looked at with care: a proxy in between answers as it likes. */
function partsOf(body: unknown): {
  name: string | null;
  message: string | null;
  details: string[];
  permissions: string[];
} {
  const { name, message, details, permissions } = (body ?? {}) as Record<string, unknown>;
  const texts = (list: unknown): string[] =>
    Array.isArray(list)
      ? list
          .map((item) => (typeof item === 'string' ? item : (item as { message?: unknown } | null)?.message))
          .filter((text) => typeof text === 'string')
      : [];
  return {
    name: typeof name === 'string' ? name : null,
    message: typeof message === 'string' ? message : null,
    details: texts(details),
    // 6 lists them, 7 and 8 name them in the sentence.
    permissions:
      name === 'PermissionError' && permissions === undefined
        ? [...String(message).matchAll(/"([A-Z_]+)"/g)].map((match) => match[1] ?? '')
        : texts(permissions),
  };
}
