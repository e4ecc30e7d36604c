import { setTimeout } from 'node:timers/promises';
import type { z } from 'zod';
import { SwitchbackError } from '../../messages/index.ts';
import { retryAfterOf } from '../http-headers.ts';
import { uiConfig } from './answers.ts';
import { type Refused, refusalOf, unreachable } from './refusal.ts';
import { kindOfToken, TOKEN_NEEDED } from './token.ts';

const REQUEST_TIMEOUT_MS = 5_000;
/**
 * Requests are made while a lock of the ledger is held, which a rollback must not wait for: only short waits that
 * Unleash asks for (429) are made here, the others by the step, which lets go of everything first.
 */
const RETRY_AFTER_MAX_MS = 2_000;
const RETRY_AFTER_TRIES = 3;
/** A flag that nobody has: what is asked of the servers of clients to find out what a token is for. */
const PROBE = '?namePrefix=switchback-probe-';

interface ApiAnswer {
  status: number;
  body: unknown;
}
interface RequestOptions {
  body?: unknown;
  expected?: readonly number[];
  signal: AbortSignal;
}

/**
 * Requests to Unleash's Admin API (`/api/admin`; seen to work with unleash-server 6.10, 7.6 and 8.2). Owns address,
 * token, time limits, what each status means and whether an answer has the form that we know; callers own which
 * statuses are an answer. The token and credentials in the address never reach a message.
 */
export class AdminApi {
  readonly address: string;
  readonly #root: string;
  readonly #token: string;

  constructor(url: string, adminToken: string) {
    const parsed = new URL(url);
    this.address = parsed.origin;
    // People configure the API's address with and without `/api`, as the client libraries take it.
    this.#root = `${parsed.origin}${parsed.pathname.replace(/\/+$/, '').replace(/\/api(\/admin)?$/, '')}/api`;
    this.#token = adminToken;
  }

  /** Answers 2xx and the statuses in `expected`; throws `UnleashUnreachable` or `FlagRefused` for the others. */
  async request(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    { body, expected = [], signal }: RequestOptions,
  ): Promise<ApiAnswer> {
    for (let tries = 1; ; tries++) {
      const { response, text } = await this.#fetch(`/admin${path}`, signal, {
        method,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const { status } = response;
      if (response.ok || expected.includes(status)) return { status, body: json(text) };
      const retryAfterMs = retryAfterOf(response.headers.get('retry-after'), Date.now());
      const soon = status === 429 && retryAfterMs !== null && retryAfterMs <= RETRY_AFTER_MAX_MS;
      if (!soon || tries >= RETRY_AFTER_TRIES) {
        const refused = { address: this.address, request: `${method} ${path}`, status, body: json(text), retryAfterMs };
        throw await this.#refusal(refused, signal);
      }
      await setTimeout(retryAfterMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /**
   * Reads what `schema` describes; null for a status in `expected`. Fields that it doesn't name are ignored; where one is
   * missing or of another kind, this is an Unleash that we don't know, and it is told so with its version.
   */
  async read<T>(path: string, schema: z.ZodType<T>, options: Omit<RequestOptions, 'body'>): Promise<T | null> {
    const { status, body } = await this.request('GET', path, options);
    return options.expected?.includes(status) ? null : this.parse(path, schema, body, options.signal);
  }

  /** As `read`, of an answer that was got before. */
  async parse<T>(path: string, schema: z.ZodType<T>, body: unknown, signal: AbortSignal): Promise<T> {
    const parsed = schema.safeParse(body);
    if (parsed.success) return parsed.data;
    if (body === undefined) {
      throw new SwitchbackError('UnleashUnreachable', `what answers GET ${path} at ${this.address} is not Unleash`, {
        hint: 'it answers with something that is not JSON: check that unleash.url points to Unleash itself',
        fields: { address: this.address, hold: true },
      });
    }
    const [issue] = parsed.error.issues;
    const what = [...(issue?.path ?? []), issue?.message].join(': ');
    const version = (await this.version(signal).catch(() => null)) ?? 'of an unknown version';
    throw new SwitchbackError(
      'FlagRefused',
      `Unleash ${version} at ${this.address} answers GET ${path} in a form that we don't know (${what})`,
      {
        hint: 'versions 6, 7 and 8 of Unleash are known to work; a newer version of Switchback may know this one',
        fields: { address: this.address, version, hold: true },
      },
    );
  }

  /** The server's version (`7.6.5`), or null where it doesn't say. */
  async version(signal: AbortSignal): Promise<string | null> {
    const { body } = await this.request('GET', '/ui-config', { signal });
    return uiConfig.safeParse(body).data?.version ?? null;
  }

  async #fetch(
    path: string,
    signal: AbortSignal,
    init: RequestInit = {},
  ): Promise<{ response: Response; text: string }> {
    signal.throwIfAborted();
    try {
      const response = await fetch(`${this.#root}${path}`, {
        ...init,
        headers: { authorization: this.#token, accept: 'application/json', 'content-type': 'application/json' },
        signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
        redirect: 'manual',
      });
      return { response, text: await response.text() };
    } catch (error) {
      signal.throwIfAborted();
      throw unreachable(this.address, reasonOf(error));
    }
  }

  /** 401, and 403 without the name of an error: the token itself isn't taken, unless somebody else has answered. */
  async #refusal(refused: Refused, signal: AbortSignal): Promise<SwitchbackError> {
    const { status, body } = refused;
    const named = (body as { name?: unknown } | null | undefined)?.name !== undefined;
    if (status !== 401 && (status !== 403 || named)) return refusalOf(refused);
    if (body === undefined) {
      return new SwitchbackError(
        'UnleashUnreachable',
        `something before Unleash at ${this.address} refuses (${status})`,
        {
          hint: 'its answer is not one of Unleash: a proxy, say, that wants to know who asks',
          fields: { address: this.address, status, hold: true },
        },
      );
    }
    const given =
      status === 401
        ? `it doesn't know it, or it has expired: it was given ${kindOfToken(this.#token)}`
        : `it was given ${await this.#clientKind(signal)}`;
    return new SwitchbackError(
      'UnleashUnreachable',
      `Unleash at ${this.address} refuses the token (${status}): ${given}`,
      // What can't be written can't be taken back either: a person corrects the token, and nothing is lost meanwhile.
      { hint: TOKEN_NEEDED, fields: { address: this.address, status, hold: true } },
    );
  }

  /** A token that isn't for the Admin API: whom it is for is asked of the server, because the token doesn't say. */
  async #clientKind(signal: AbortSignal): Promise<string> {
    const takes = async (path: string): Promise<boolean> =>
      (await this.#fetch(path, signal).catch(() => null))?.response.ok ?? false;
    if (await takes(`/client/features${PROBE}`)) return 'a backend (client) token, which reads flags only';
    if (await takes(`/frontend${PROBE}`)) return 'a frontend token, which is for browsers';
    return kindOfToken(this.#token);
  }
}

/** Undefined for what isn't JSON; null for nothing. */
const json = (text: string): unknown => {
  try {
    return text === '' ? null : JSON.parse(text);
  } catch {
    return undefined;
  }
};

function reasonOf(error: unknown): string {
  if (error instanceof DOMException && error.name === 'TimeoutError')
    return `no answer in ${REQUEST_TIMEOUT_MS / 1000} s`;
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  return cause?.code ?? cause?.message ?? (error as Error).message;
}
