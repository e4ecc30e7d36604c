import { AsyncLocalStorage } from 'node:async_hooks';
import type { Place } from './range-ledger.ts';

/**
 * Whether values may be told. Asked where an error is made and where a key is written out, so that whatever becomes of
 * it (a note, a log line, another error's message) holds nothing of a table that is labelled as personal data.
 */
const hidden = new AsyncLocalStorage<(key: Place) => string>();

/**
 * Runs `work`; with a `hash` messages of Postgres that may quote values have only their condition's name in it, and
 * keys are written by it. Null hides nothing.
 */
export const hidingValues = <T>(hash: ((key: Place) => string) | null, work: () => Promise<T>): Promise<T> =>
  hash === null ? work() : hidden.run(hash, work);

export const valuesAreHidden = (): boolean => hidden.getStore() !== undefined;

/** A key as people read it: `42`, or `(a, 7)`; of a table with personal data its hash. */
export const showKey = (key: Place): string => {
  const hash = hidden.getStore();
  if (hash !== undefined) return hash(key);
  return key.length === 1 ? (key[0] ?? '') : `(${key.join(', ')})`;
};
