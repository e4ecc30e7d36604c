import { SwitchbackError } from '../../messages/index.ts';

const REQUEST_TIMEOUT_MS = 5_000;
/** Names that Unleash gives to errors about the token rather than about the request. */
const TOKEN_ERRORS = ['UnauthorizedError', 'NoAccessError', 'PermissionError'];

interface ApiAnswer {
  status: number;
  body: unknown;
}

/**
 * Requests to Unleash's Admin API (7.6.5; `/api/admin`). Owns address, token, time limits and what each status means;
 * callers own which statuses are an answer. The token and credentials in the address never reach a message.
 */
export class AdminApi {
  readonly address: string;
  readonly #base: string;
  readonly #headers: Record<string, string>;

  constructor(url: string, adminToken: string) {
    const parsed = new URL(url);
    this.address = parsed.origin;
    // People configure the API's address with and without `/api`, as the client libraries take it.
    this.#base = `${parsed.origin}${parsed.pathname.replace(/\/+$/, '').replace(/\/api(\/admin)?$/, '')}/api/admin`;
    this.#headers = { authorization: adminToken, accept: 'application/json', 'content-type': 'application/json' };
  }

  /** Answers 2xx and the statuses in `expected`; throws `UnleashUnreachable` or `FlagRefused` for the others. */
  async request(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    { body, expected = [], signal }: { body?: unknown; expected?: readonly number[]; signal: AbortSignal },
  ): Promise<ApiAnswer> {
    signal.throwIfAborted();
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${this.#base}${path}`, {
        method,
        headers: this.#headers,
        signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
        redirect: 'error',
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      text = await response.text();
    } catch (error) {
      signal.throwIfAborted();
      throw this.#unreachable(reasonOf(error));
    }
    if (response.ok || expected.includes(response.status)) return { status: response.status, body: json(text) };
    throw this.#refusal(response.status, json(text), `${method} ${path}`);
  }

  #unreachable(reason: string): SwitchbackError {
    return new SwitchbackError('UnleashUnreachable', `Unleash at ${this.address} can't be reached (${reason})`, {
      retry: true,
      hint: 'check that it runs and that unleash.url points to it',
      fields: { address: this.address },
    });
  }

  #refusal(status: number, body: unknown, request: string): SwitchbackError {
    const { name, message } = (body ?? {}) as { name?: string; message?: string };
    if (status === 401 || (status === 403 && (name === undefined || TOKEN_ERRORS.includes(name)))) {
      return new SwitchbackError('UnleashUnreachable', `Unleash at ${this.address} refuses the token (${status})`, {
        hint: 'check unleash.adminToken: it must be an admin token, or one of a service account that may change flags',
        fields: { address: this.address, status },
      });
    }
    if (status === 429 || status >= 500) return this.#unreachable(`it answers ${status} to ${request}`);
    return new SwitchbackError(
      'FlagRefused',
      `Unleash at ${this.address} refuses ${request} (${status}): ${(message ?? 'no reason given').slice(0, 300)}`,
      { hint: 'check project, environment and name of the flag', fields: { address: this.address, status } },
    );
  }
}

const json = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};

function reasonOf(error: unknown): string {
  if (error instanceof DOMException && error.name === 'TimeoutError')
    return `no answer in ${REQUEST_TIMEOUT_MS / 1000} s`;
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  return cause?.code ?? cause?.message ?? (error as Error).message;
}
