import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EffectInput } from '../../src/activities/effect.ts';
import type { Kind, StepOf } from '../../src/plan/index.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { type EffectBench, effectBench } from '../harness/effect-context.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';
import { effects } from './room.ts';
import { PLACES, TYPES, type TypeCase } from './types-cases.ts';

let fresh: FreshDatabase;
let bench: EffectBench;
beforeAll(async () => {
  fresh = await freshDatabase('types');
  bench = await effectBench(fresh.url);
});
afterAll(async () => {
  await bench.close();
  await fresh.drop();
});

/** As a client does: with `public` on the path. */
const run = (sql: string) =>
  bench.databases.get('app').session(async (session) => {
    try {
      return await session.query(`SET search_path = public; ${sql}`);
    } finally {
      await session.query('RESET ALL');
    }
  });
const query = (sql: string) => bench.databases.get('app').query(sql);

/** Everything in the catalog that a dual write could leave behind. */
const traces = () =>
  query(`SELECT 'column' AS kind, attrelid::regclass || '.' || attname AS name FROM pg_attribute
      WHERE attnum > 0 AND NOT attisdropped AND attrelid IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'p')) AND attname LIKE 'zz%'
    UNION ALL SELECT 'trigger', tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'function', proname FROM pg_proc WHERE pronamespace = 'switchback'::regnamespace
    UNION ALL SELECT 'comment', description FROM pg_description WHERE description LIKE 'Switchback%' ORDER BY 1, 2`);

function stepsOf(number: string, { schema = 'public', table, up, down, bothWritten }: TypeCase) {
  const parse = <K extends Kind>(uses: K, fields: object): StepOf<K> =>
    stepKinds[uses].parse({ uses, ...fields }) as StepOf<K>;
  const sync = parse('dual-write', {
    id: `sync-${number}`,
    database: 'app',
    schema,
    table,
    up,
    ...(down && { down }),
    ...(bothWritten && { bothWritten }),
  });
  const of = sync.id;
  const fill = parse('backfill', { id: `fill-${number}`, of, chunk: { rows: 100, fixed: true } });
  const check = parse('verify', { id: `check-${number}`, of, onMismatch: 'fail' });
  return {
    sync: bench.input<'dual-write'>(sync),
    fill: bench.input<'backfill'>(fill, { of: sync }),
    check: bench.input<'verify'>(check, { of: sync }),
  };
}

/** Through all of it; answers with what is left behind at the end. */
async function inStep(number: string, one: TypeCase): Promise<unknown[]> {
  await run(one.sql);
  const before = await traces();
  const { sync, fill, check } = stepsOf(number, one);
  await effects.dualWrite.up(sync, bench.context());
  for (const sql of one.before) await run(sql);
  await effects.backfill.up(fill, bench.context());
  for (const sql of one.after ?? []) await run(sql);
  expect((await run(one.see)).map((row) => Object.values(row))).toEqual(one.rows);
  expect((await effects.verify.up(check, bench.context())).note).toContain('0 of');
  const down = async (input: EffectInput<'dual-write'>) =>
    effects.dualWrite.down({ ...input, direction: 'down' }, bench.context());
  await effects.backfill.down({ ...fill, direction: 'down' }, bench.context());
  await down(sync);
  return (await traces()).filter((trace) => !before.some((known) => known['name'] === trace['name']));
}

const major = async (): Promise<number> =>
  Number((await query("SELECT current_setting('server_version_num')::int / 10000 AS major"))[0]?.['major']);

describe('tables of every kind', () => {
  test.each(PLACES.map((one, index) => [one.name, `place-${index}`, one] as const))('%s', async (_, number, one) => {
    expect(await inStep(number, one)).toEqual([]);
  });
});

describe('columns of every type', () => {
  test.each(TYPES.map((one, index) => [one.name, `type-${index}`, one] as const))('%s', async (_, number, one) => {
    expect((one.since ?? 0) > (await major()) ? [] : await inStep(number, one)).toEqual([]);
  });
});
