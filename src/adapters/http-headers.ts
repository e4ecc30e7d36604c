/** What adapters that speak HTTP have in common. */

/**
 * Credentials in an address, which fetch refuses, as the header that they stand for: the address without them, and the
 * value of `Authorization`, or null where it had none.
 */
export function withoutCredentials(url: string): { target: URL; authorization: string | null } {
  const target = new URL(url);
  if (target.username === '') return { target, authorization: null };
  const credentials = `${decodeURIComponent(target.username)}:${decodeURIComponent(target.password)}`;
  target.username = '';
  target.password = '';
  return { target, authorization: `Basic ${Buffer.from(credentials).toString('base64')}` };
}

/**
 * `Retry-After` in milliseconds from `nowMs`: seconds, or a date (RFC 9110). Null where it isn't there or is neither. How
 * long anybody waits at most is the caller's.
 */
export function retryAfterOf(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - nowMs;
  return Number.isNaN(ms) ? null : Math.max(0, ms);
}
