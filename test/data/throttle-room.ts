import type { Pacer } from '../../src/activities/pacer.ts';
import type { Queryable } from '../../src/adapters/postgres/database.ts';

/** Looks until the query gives a row: its first value. Each look lets the others go on. */
export async function until(queryable: Queryable, sql: string): Promise<string> {
  for (;;) {
    const [row] = await queryable.query(sql);
    const value = Object.values(row ?? {})[0];
    if (value !== undefined && value !== null) return value;
  }
}

/** Waits for a pace whose note matches; it may be the one that is. `null` matches a pace without a note. */
export function noted(pacer: Pacer, pattern: RegExp | null): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const look = (): void => {
    const { note } = pacer.now();
    if (pattern === null ? note === null : pattern.test(note ?? '')) resolve(note);
  };
  look();
  pacer.onChange(look);
  return promise;
}
