import { SwitchbackError } from '../../messages/index.ts';
import { withoutCredentials } from '../http-headers.ts';

const REQUEST_TIMEOUT_MS = 10_000;
const BODY_BYTES_MAX = 1024 * 1024;

/** An address for people: without credentials and without the query, which may hold a key. */
export const addressOf = (url: string): string => {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
};

/**
 * A GET request, for conditions. Credentials in the URL become an Authorization header (fetch refuses them in a URL).
 * Redirects aren't followed: the status that a condition asks for is that of its own address.
 *
 * @throws SwitchbackError MetricsUnreachable, to be tried again
 */
export async function get(url: string, signal: AbortSignal): Promise<{ status: number; text: string }> {
  const { target, authorization } = withoutCredentials(url);
  const headers = { accept: 'application/json', ...(authorization !== null && { authorization }) };
  try {
    const response = await fetch(target, {
      headers,
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
    });
    return { status: response.status, text: await limitedText(response) };
  } catch (error) {
    signal.throwIfAborted();
    throw unreachable(url, reasonOf(error));
  }
}

export const unreachable = (url: string, reason: string): SwitchbackError =>
  new SwitchbackError('MetricsUnreachable', `${addressOf(url)} does not answer (${reason})`, {
    retry: true,
    hint: 'check that it runs and can be reached from the worker',
    fields: { address: addressOf(url) },
  });

async function limitedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const part of response.body ?? []) {
    bytes += part.byteLength;
    if (bytes > BODY_BYTES_MAX) throw new Error(`its answer is longer than ${BODY_BYTES_MAX} bytes`);
    text += decoder.decode(part, { stream: true });
  }
  return text + decoder.decode();
}

function reasonOf(error: unknown): string {
  if (error instanceof DOMException && error.name === 'TimeoutError') return `${REQUEST_TIMEOUT_MS / 1000} s are over`;
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  return cause?.code ?? cause?.message ?? (error as Error).message;
}
