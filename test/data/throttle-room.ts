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

/** Caps of the chunks in `public.chunks`, one after the other, each told once until another one follows. */
export async function ratesInForce(queryable: Queryable): Promise<(number | null)[]> {
  const rows = await queryable.query('SELECT rate FROM public.chunks ORDER BY n');
  const rates = rows.map(({ rate }) => (rate === null || rate === undefined ? null : Number(rate)));
  return rates.filter((rate, at) => at === 0 || rate !== rates[at - 1]);
}

/** Notes each chunk of `users`: the cap in force for the ranges, and its rows. */
export const CHUNKS = `
CREATE TABLE public.chunks (n int GENERATED ALWAYS AS IDENTITY, rate float8, rows int);
CREATE FUNCTION public.note_chunk() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
  INSERT INTO public.chunks (rate, rows) SELECT (SELECT max(rows_per_second) FROM switchback.ranges WHERE state = 'open'), count(*) FROM changed;
  RETURN NULL; END $$;
CREATE TRIGGER note_chunk AFTER UPDATE ON public.users REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.note_chunk()`;
