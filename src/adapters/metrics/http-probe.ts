import { addressOf, get } from './http-request.ts';

/** What a throttle's URL answered: whether that is within what the plan allows, in words. */
export interface HttpProbeReading {
  ok: boolean;
  words: string;
}

/**
 * One look at a throttle's URL: anything but 2xx is bad; with `max` the body has to be a number, as text or JSON, and at
 * most that. Throws `MetricsUnreachable` where it doesn't answer.
 */
export async function readHttpProbe(
  { url, max }: { url: string; max?: number | undefined },
  signal: AbortSignal,
): Promise<HttpProbeReading> {
  const address = addressOf(url);
  const { status, text } = await get(url, signal);
  if (status < 200 || status > 299) return { ok: false, words: `${address} answers ${status}` };
  if (max === undefined) return { ok: true, words: `${address} answers ${status}` };
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isNaN(value)) return { ok: false, words: `${address} doesn't answer with a number` };
  return { ok: value <= max, words: `${address} says ${value}, ${max} allowed` };
}
