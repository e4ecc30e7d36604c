import { createHash } from 'node:crypto';
import type { NotificationEvent } from '../../messages/index.ts';
import { retryAfterOf, withoutCredentials } from '../http-headers.ts';
import { signedHeaders } from './signature.ts';

/** A webhook as the configuration has it, complete. Its address and secrets never reach a message, a log or a ledger. */
export interface WebhookConfig {
  name: string;
  webhook: string;
  events: readonly NotificationEvent[];
  /** None: what is sent is not signed. */
  secrets: readonly string[];
  /** Services of which one must be concerned; null: it is told of everything. */
  services: readonly string[] | null;
}

/** What became of one attempt; `reason` is for people. */
export type Delivery =
  | { kind: 'delivered' }
  /** The receiver has retired it (410): it wants nothing more. */
  | { kind: 'gone'; reason: string }
  /** The receiver understood it and said no: to try again helps only where someone changes something. */
  | { kind: 'refused'; reason: string }
  /** It may work later; `afterMs` is how long the receiver asked to wait. */
  | { kind: 'later'; reason: string; afterMs: number | null };

const REQUEST_TIMEOUT_MS = 10_000;
export const RETRY_AFTER_MAX_MS = 3_600_000;
/** Statuses of 4xx that speak of the moment rather than of the request. */
const FOR_THE_MOMENT: readonly number[] = [408, 425, 429];
const NAME_DIGITS = 6;

/** The name of a webhook that was given none: its host, and a hash that tells two of one host apart. */
export function defaultName(url: string): string {
  const hash = createHash('sha256').update(url).digest('hex').slice(0, NAME_DIGITS);
  return `${new URL(url).hostname.replaceAll(/[^A-Za-z0-9.-]/g, '')}-${hash}`;
}

/**
 * One attempt: a POST of a CloudEvent in structured mode, as the webhook binding of CloudEvents has it. Redirects are not
 * followed, the body of the answer is not read. Throws only the signal's reason.
 */
export async function deliver(
  { webhook, secrets }: Pick<WebhookConfig, 'webhook' | 'secrets'>,
  message: { id: string; body: string },
  signal: AbortSignal,
): Promise<Delivery> {
  const { target, authorization } = withoutCredentials(webhook);
  const headers = {
    'content-type': 'application/cloudevents+json; charset=utf-8',
    'user-agent': 'switchback',
    ...signedHeaders({ ...message, atMs: Date.now() }, secrets),
    ...(authorization !== null && { authorization }),
  };
  try {
    const response = await fetch(target, {
      method: 'POST',
      headers,
      body: message.body,
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
    });
    // What it answered counts, whatever becomes of the connection now.
    response.body?.cancel().catch(() => undefined);
    return deliveryOf(response.status, response.headers.get('retry-after'), Date.now());
  } catch (error) {
    signal.throwIfAborted();
    return { kind: 'later', reason: reasonOf(error), afterMs: null };
  }
}

export function deliveryOf(status: number, retryAfter: string | null, nowMs: number): Delivery {
  const reason = `it answers ${status}`;
  if (status >= 200 && status < 300) return { kind: 'delivered' };
  if (status === 410) return { kind: 'gone', reason };
  if (status >= 500 || FOR_THE_MOMENT.includes(status))
    return { kind: 'later', reason, afterMs: bounded(retryAfterOf(retryAfter, nowMs)) };
  return { kind: 'refused', reason: status < 400 ? `${reason}; redirects are not followed` : reason };
}

/** Nobody makes us wait for weeks. */
const bounded = (ms: number | null): number | null => (ms === null ? null : Math.min(ms, RETRY_AFTER_MAX_MS));

/** Never the address: it may hold a secret, and what fetch says quotes it. */
function reasonOf(error: unknown): string {
  if (error instanceof DOMException && error.name === 'TimeoutError')
    return `no answer in ${REQUEST_TIMEOUT_MS / 1000} s`;
  const { code } = ((error as { cause?: unknown }).cause ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : 'the connection broke';
}
