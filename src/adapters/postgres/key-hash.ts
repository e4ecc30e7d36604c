import { createHash, createHmac, randomBytes } from 'node:crypto';
import type { RunRef } from '../../messages/index.ts';
import type { Database } from './database.ts';
import type { Place } from './range-ledger.ts';

/**
 * Keys of tables with personal data are shown as a hash: `#` and ten hex digits of HMAC-SHA256 over the key, under a
 * salt that each run has of its own. The same key has the same hash within a run, in every table, so that people can
 * compare; another run has another. Only who can read the home ledger has the salt.
 */
const DIGITS = 10;
const SALT_BYTES = 32;
export const isKeyHash = (text: string): boolean => /^#[0-9a-f]{10}$/.test(text);
export const newSalt = (): string => randomBytes(SALT_BYTES).toString('hex');

/** Each column's text after its length in bytes, so that no two keys have one text. */
const spelled = (place: Place): string => place.map((part) => `${Buffer.byteLength(part)}:${part}`).join('');

export const keyHash = (salt: string, place: Place): string =>
  `#${createHmac('sha256', Buffer.from(salt, 'hex')).update(spelled(place)).digest('hex').slice(0, DIGITS)}`;

const BLOCK_BYTES = 64;
/** The two keys of HMAC (RFC 2104), for SQL, which has SHA-256 and no HMAC. In hex. */
export function hashPads(salt: string): { inner: string; outer: string } {
  const given = Buffer.from(salt, 'hex');
  const key = Buffer.alloc(BLOCK_BYTES);
  (given.length > BLOCK_BYTES ? createHash('sha256').update(given).digest() : given).copy(key);
  const pad = (byte: number): string => Buffer.from(key.map((part) => part ^ byte)).toString('hex');
  return { inner: pad(0x36), outer: pad(0x5c) };
}

/** The hash of a key in SQL: `texts` are its columns as text, `inner` and `outer` expressions for the pads' hex. */
export const keyHashSql = (texts: readonly string[], { inner, outer }: { inner: string; outer: string }): string => {
  const spelledOut = texts.map((text) => `octet_length(${text}) || ':' || ${text}`).join(' || ');
  const within = `sha256(decode(${inner}, 'hex') || convert_to(${spelledOut}, 'UTF8'))`;
  return `'#' || left(encode(sha256(decode(${outer}, 'hex') || ${within}), 'hex'), ${DIGITS})`;
};

/** The run's salt, in hex: made when it is first asked for, and the same from then on. */
export async function saltOf(home: Database, { migration, version, epoch }: RunRef): Promise<string> {
  const [row] = await home.query(
    `INSERT INTO switchback.salts (migration, version, epoch, salt) VALUES ($1, $2, $3, $4)
     ON CONFLICT (migration, version, epoch) DO UPDATE SET salt = switchback.salts.salt RETURNING salt`,
    [migration, version, epoch, newSalt()],
  );
  return row?.['salt'] ?? '';
}
