import { beforeAll, afterAll, expect } from 'vitest';
import { backfill } from '../../src/activities/backfill.ts';
import { dualWrite } from '../../src/activities/dual-write.ts';
import type { EffectInput, EffectResult } from '../../src/activities/effect.ts';
import { verify } from '../../src/activities/verify.ts';
import type { Database, Row, Value } from '../../src/adapters/postgres/database.ts';
import type { Direction, RunRef } from '../../src/messages/index.ts';
import type { Kind, StepOf } from '../../src/plan/index.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { type EffectBench, effectBench } from '../harness/effect-context.ts';
import { freshDatabase } from '../harness/servers.ts';

/** One database for a whole file; every case has a schema and a migration of its own in it. */
export interface SyncHall {
  room(sql: string): Promise<SyncRoom>;
  bench(): EffectBench;
}
export interface SyncRoom {
  schema: string;
  database: Database;
  query(sql: string, values?: readonly Value[]): Promise<Row[]>;
  value(sql: string, values?: readonly Value[]): Promise<string | null>;
  /** The steps of a migration of this room; `fields` are those of the plan. */
  sync(fields: Record<string, unknown>): Sync;
}
export interface Sync {
  up(): Promise<EffectResult>;
  down(): Promise<EffectResult>;
  backfill(fields?: Record<string, unknown>, options?: Options): Promise<EffectResult>;
  check(fields?: Record<string, unknown>): Promise<EffectResult>;
  run: RunRef;
  of: StepOf<'dual-write'>;
}
type Options = Parameters<EffectBench['context']>[0] & { run?: Partial<RunRef> };

const parse = <K extends Kind>(uses: K, step: Record<string, unknown>): StepOf<K> =>
  stepKinds[uses].parse({ uses, ...step }) as StepOf<K>;

export function syncHall(): SyncHall {
  let bench: EffectBench;
  let rooms = 0;
  beforeAll(async () => {
    bench = await effectBench((await freshDatabase('tables')).url);
  });
  afterAll(() => bench.close());
  const room = async (sql: string): Promise<SyncRoom> => {
    rooms += 1;
    const schema = `room_${rooms}`;
    const database = bench.databases.get('app');
    await database.query(`CREATE SCHEMA ${schema}; SET search_path = ${schema}; ${sql}; SET search_path = pg_catalog`);
    // Clients name their tables with the schema; `%` stands for it.
    const query = (text: string, values?: readonly Value[]) =>
      database.query(text.replaceAll('%.', `${schema}.`), values);
    return {
      schema,
      database,
      query,
      value: async (text, values) => Object.values((await query(text, values))[0] ?? {})[0] ?? null,
      sync: (fields) => syncOf(bench, schema, fields),
    };
  };
  return { room, bench: () => bench };
}

function syncOf(bench: EffectBench, schema: string, fields: Record<string, unknown>): Sync {
  const of = parse('dual-write', { id: 'sync', database: 'app', schema, ...fields });
  const run = bench.run({ migration: `tables-${schema.replaceAll('_', '-')}` });
  const ready = bench.raiseFence(1, run.migration);
  const input = <K extends Kind>(step: StepOf<K>, direction: Direction, more: Partial<RunRef> = {}): EffectInput<K> =>
    bench.input(step, { run: { ...run, ...more }, direction, of: 'of' in step ? of : null });
  const perform = async (work: () => Promise<EffectResult>): Promise<EffectResult> => {
    await ready;
    return work();
  };
  return {
    run,
    of,
    up: () => perform(() => dualWrite.up(input(of, 'up'), bench.context())),
    down: () => perform(() => dualWrite.down(input(of, 'down'), bench.context())),
    backfill: (more = {}, options = {}) =>
      perform(() =>
        backfill.up(
          input(parse('backfill', { id: 'fill', of: 'sync', ...more }), 'up', options.run),
          bench.context(options),
        ),
      ),
    check: (more = {}) =>
      perform(() => verify.up(input(parse('verify', { id: 'check', of: 'sync', ...more }), 'up'), bench.context())),
  };
}

/** Users whose profile columns go to a table of their own. */
export const SPLIT_TABLES = `
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL, bio text, city text, visits int NOT NULL DEFAULT 0);
CREATE TABLE profiles (user_id bigint PRIMARY KEY REFERENCES users (id), about text, place text, theme text DEFAULT 'light')`;
export const SPLIT_STEP = {
  from: { table: 'users', key: 'id' },
  to: { table: 'profiles', key: 'user_id' },
  up: { about: 'bio', place: 'upper(city)' },
  down: { bio: 'about', city: 'lower(place)' },
};
export const filled = (rows: number): string =>
  `INSERT INTO users (id, email, bio, city) SELECT i, 'u' || i, 'bio ' || i, CASE i % 3 WHEN 0 THEN NULL ELSE 'oslo ' || i END FROM generate_series(1, ${rows}) i; ANALYZE users`;

/** A table that takes in another one's columns. */
export const MERGE_TABLES = `
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL, about text, place text);
CREATE TABLE profiles (user_id bigint PRIMARY KEY REFERENCES users (id), bio text, city text, note text)`;
export const MERGE_STEP = {
  from: { table: 'profiles', key: 'user_id' },
  to: { table: 'users', key: 'id' },
  up: { about: 'bio', place: 'upper(city)' },
  down: { bio: 'about', city: 'lower(place)' },
};

export const refused = (text: string, code = 'StatementFailed') =>
  expect.objectContaining({ code, message: expect.stringContaining(text) }) as unknown;
