import { Database } from '../../src/adapters/postgres/database.ts';
import type { StepOf } from '../../src/plan/index.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';

/** The table that the benchmarks of data walk: two text columns to fill from one. */
export const UP = {
  given_name: "split_part(full_name, ' ', 1)",
  family_name: "CASE WHEN strpos(full_name, ' ') > 0 THEN substr(full_name, strpos(full_name, ' ') + 1) END",
};
const DOWN = { full_name: "given_name || coalesce(' ' || family_name, '')" };

export async function makePeople(url: string, rows: number): Promise<Database> {
  const database = new Database('bench', { url });
  await database.session(async (session) => {
    await session.query(
      'CREATE TABLE public.users (id bigint PRIMARY KEY, full_name text, note text, given_name text, family_name text)',
    );
    await session.query(
      `INSERT INTO public.users (id, full_name, note)
       SELECT n, 'Given' || n || ' Family' || n, md5(n::text) FROM generate_series(1, $1::bigint) n`,
      [rows],
    );
    await session.query('VACUUM ANALYZE public.users');
    await session.query('CHECKPOINT');
  });
  return database;
}

export const SYNC: StepOf<'dual-write'> = stepKinds['dual-write'].parse({
  id: 'sync',
  uses: 'dual-write',
  database: 'app',
  table: 'users',
  up: UP,
  down: DOWN,
});

export const fillOf = (fields: object): StepOf<'backfill'> =>
  stepKinds.backfill.parse({ id: 'fill', uses: 'backfill', ...fields });
