import { createHmac } from 'node:crypto';

/**
 * Signatures of Standard Webhooks 1.0 (https://www.standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`, in
 * base64 after `v1,`. A secret is `whsec_` and the base64 of 24 to 64 bytes; with several, a signature of each, so that
 * a receiver takes the old one until it has the new one.
 */
const PREFIX = 'whsec_';
const SECRET_BYTES_MIN = 24;
const SECRET_BYTES_MAX = 64;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

export function isSecret(text: string): boolean {
  if (!text.startsWith(PREFIX) || !BASE64.test(text.slice(PREFIX.length))) return false;
  const { length } = keyOf(text);
  return length >= SECRET_BYTES_MIN && length <= SECRET_BYTES_MAX;
}

const keyOf = (secret: string): Buffer => Buffer.from(secret.slice(PREFIX.length), 'base64');

/** The headers of one attempt; without secrets there is no signature. `atMs` is when the attempt is made. */
export function signedHeaders(
  message: { id: string; body: string; atMs: number },
  secrets: readonly string[],
): Record<string, string> {
  const timestamp = String(Math.floor(message.atMs / 1000));
  const signed = `${message.id}.${timestamp}.${message.body}`;
  const signatures = secrets.map(
    (secret) => `v1,${createHmac('sha256', keyOf(secret)).update(signed).digest('base64')}`,
  );
  return {
    'webhook-id': message.id,
    'webhook-timestamp': timestamp,
    ...(signatures.length > 0 && { 'webhook-signature': signatures.join(' ') }),
  };
}
