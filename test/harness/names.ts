import { Database } from '../../src/adapters/postgres/database.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import { planOf } from './engine.ts';

/** A small case of the classic: `users.full_name` becomes given and family name. */
export async function makeUsers(url: string, rows: number): Promise<Database> {
  const database = new Database('app', { url });
  await database.query(
    `CREATE TABLE public.users (id bigint PRIMARY KEY, full_name text NOT NULL, touched integer NOT NULL DEFAULT 0)`,
  );
  await database.query(
    `INSERT INTO public.users (id, full_name)
     SELECT n, (ARRAY['Ana', 'Bo Li', ' Cy', 'Dee van der Ee', '', 'É ü 🎉'])[1 + n % 6] || ' ' || n FROM generate_series(1, $1::int) n`,
    [rows],
  );
  await database.query('ANALYZE public.users');
  return database;
}

export const UP = {
  given_name: "split_part(full_name, ' ', 1)",
  family_name: "CASE WHEN strpos(full_name, ' ') > 0 THEN substr(full_name, strpos(full_name, ' ') + 1) END",
};
export const DOWN = { full_name: "given_name || coalesce(' ' || family_name, '')" };

type Phases = PlanInput['spec']['phases'];
const on = { database: 'app' } as const;

/** The phases up to a verified table; tests add what they are about. */
export const expandAndMigrate = (backfill: object = {}): Phases => [
  {
    name: 'expand',
    steps: [
      {
        id: 'columns',
        uses: 'ddl',
        ...on,
        up: 'ALTER TABLE users ADD COLUMN given_name text; ALTER TABLE users ADD COLUMN family_name text',
      },
      {
        id: 'index',
        uses: 'ddl',
        ...on,
        needs: ['columns'],
        up: 'CREATE INDEX CONCURRENTLY users_by_family_name ON users (family_name)',
      },
    ],
  },
  { name: 'dual-write', steps: [{ id: 'sync', uses: 'dual-write', ...on, table: 'users', up: UP, down: DOWN }] },
  {
    name: 'migrate',
    steps: [
      { id: 'fill', uses: 'backfill', of: 'sync', ...backfill },
      { id: 'verify', uses: 'verify', of: 'sync', needs: ['fill'] },
    ],
    exitCriteria: [
      {
        name: 'none left',
        sql: { ...on, query: 'select count(*) from public.users where given_name is null', max: 0 },
      },
    ],
  },
];

export const splitPlan = (name: string, phases: Phases, spec: Partial<PlanInput['spec']> = {}): PlanInput =>
  planOf(name, phases, spec);
