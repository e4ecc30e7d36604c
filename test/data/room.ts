import { onTestFinished } from 'vitest';
import { backfill } from '../../src/activities/backfill.ts';
import { dualWrite } from '../../src/activities/dual-write.ts';
import type { EffectInput } from '../../src/activities/effect.ts';
import { verify } from '../../src/activities/verify.ts';
import type { Database, Row, Value } from '../../src/adapters/postgres/database.ts';
import type { Kind, StepInput, StepOf } from '../../src/plan/index.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { type EffectBench, effectBench } from '../harness/effect-context.ts';
import { freshDatabase } from '../harness/servers.ts';

/** The split of full_name that the example plan makes; it round-trips every name. */
export const SPLIT = {
  id: 'sync',
  uses: 'dual-write',
  database: 'app',
  table: 'users',
  up: {
    given_name: "split_part(full_name, ' ', 1)",
    family_name: "CASE WHEN strpos(full_name, ' ') > 0 THEN substr(full_name, strpos(full_name, ' ') + 1) END",
  },
  down: { full_name: "given_name || coalesce(' ' || family_name, '')" },
} as const;

export interface DataRoom {
  bench: EffectBench;
  url: string;
  database: Database;
  query(sql: string, values?: readonly Value[]): Promise<Row[]>;
  /** The one value of the one row. */
  value(sql: string, values?: readonly Value[]): Promise<string | null>;
  dualWrite(fields?: Partial<StepInput>): EffectInput<'dual-write'>;
  backfill(fields?: Record<string, unknown>, input?: Partial<EffectInput<'backfill'>>): EffectInput<'backfill'>;
  verify(fields?: Record<string, unknown>, input?: Partial<EffectInput<'verify'>>): EffectInput<'verify'>;
}

const parse = <K extends Kind>(uses: K, step: Record<string, unknown>): StepOf<K> =>
  stepKinds[uses].parse({ uses, ...step }) as StepOf<K>;

/**
 * A database of its own, with a ledger and the statements of `sql` run, that ends with the test.
 *
 * @param postgresUrl of another server than that of the run
 */
export async function dataRoom(sql: string, postgresUrl?: string): Promise<DataRoom> {
  const fresh = await freshDatabase('data', postgresUrl);
  const bench = await effectBench(fresh.url);
  onTestFinished(() => bench.close());
  const database = bench.databases.get('app');
  const query = (text: string, values?: readonly Value[]) => database.query(text, values);
  await query(`SET search_path = public; ${sql}; SET search_path = pg_catalog`);
  const split = (fields: Partial<StepInput> = {}): StepOf<'dual-write'> => parse('dual-write', { ...SPLIT, ...fields });
  return {
    bench,
    url: fresh.url,
    database,
    query,
    value: async (text, values) => Object.values((await query(text, values))[0] ?? {})[0] ?? null,
    dualWrite: (fields) => bench.input(split(fields)),
    backfill: (fields = {}, input) =>
      bench.input(
        parse('backfill', {
          id: 'fill',
          ...(fields['set'] === undefined ? { of: 'sync' } : { database: 'app', table: 'users' }),
          ...fields,
        }),
        { of: fields['set'] === undefined ? split() : null, ...input },
      ),
    verify: (fields = {}, input) =>
      bench.input(
        parse('verify', {
          id: 'check',
          ...(fields['expect'] === undefined ? { of: 'sync' } : { database: 'app', table: 'users' }),
          ...fields,
        }),
        { of: fields['expect'] === undefined ? split() : null, ...input },
      ),
  };
}

export const effects = { dualWrite, backfill, verify };

/** `users` with `rows` names of one to three words, and the new columns. */
export const users = (rows: number): string => `
CREATE TABLE users (id bigint PRIMARY KEY, full_name text, note text, given_name text, family_name text);
INSERT INTO users (id, full_name) SELECT i, CASE i % 5 WHEN 0 THEN 'Solo' || i WHEN 1 THEN 'Ada Lovelace' || i WHEN 2 THEN ' lead' || i WHEN 3 THEN NULL ELSE 'Jean Luc Picard' || i END
  FROM generate_series(1, ${rows}) i;
ANALYZE users`;

/** Counts, in \`audit\`, how often each row was updated. */
export const AUDIT = `
CREATE TABLE audit (id bigint, times int);
CREATE FUNCTION note_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.audit VALUES (new.id, 1); RETURN new; END $$;
CREATE TRIGGER audit AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION note_update()`;
