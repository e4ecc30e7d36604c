import { afterAll, beforeAll, expect, test } from 'vitest';
import { backfill } from '../../src/activities/backfill.ts';
import { dualWrite } from '../../src/activities/dual-write.ts';
import type { EffectInput, EffectResult } from '../../src/activities/effect.ts';
import { retire } from '../../src/activities/retire.ts';
import { verify } from '../../src/activities/verify.ts';
import { quoteIdentifier, quoteTable } from '../../src/adapters/postgres/identifier.ts';
import { retiredName } from '../../src/adapters/postgres/retire-column.ts';
import type { Kind, StepOf } from '../../src/plan/index.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { type DdlBench, ddlBench } from './bench.ts';

/** Names that have to be quoted, each set for another reason. */
interface Names {
  schema: string;
  table: string;
  key: string;
  old: string;
  first: string;
  rest: string;
  index: string;
}
const NAMES: Record<string, Names> = {
  'reserved words': {
    schema: 'select',
    table: 'user',
    key: 'order',
    old: 'group',
    first: 'table',
    rest: 'where',
    index: 'index',
  },
  'quotes, spaces, dots, dollars and backslashes': {
    schema: 'My "own" Schema',
    table: `it's; a -- "table"`,
    key: '$1',
    old: 'full\\name $$',
    first: 'given:name %s',
    rest: 'a"b',
    index: 'an "index".of it',
  },
  'letters of other scripts, and an emoji': {
    schema: 'Größe',
    table: '顧客',
    key: 'ключ',
    old: 'İsim',
    first: 'åäö',
    rest: '🙂name',
    index: 'ευρετήριο',
  },
  '63 bytes, the longest that Postgres keeps': {
    schema: `${'ü'.repeat(31)}s`,
    table: `t${'y'.repeat(62)}`,
    key: `k${'z'.repeat(62)}`,
    old: `${'ö'.repeat(31)}o`,
    first: `f${'1'.repeat(62)}`,
    rest: `r${'2'.repeat(62)}`,
    index: `i${'3'.repeat(62)}`,
  },
};

const parse = <K extends Kind>(uses: K, step: Record<string, unknown>): StepOf<K> =>
  stepKinds[uses].parse({ uses, database: 'app', ...step }) as StepOf<K>;

/** The steps of the example plan, over these names; `of` keeps their ledger rows apart. */
function stepsOf(of: string, { schema, table, old, first, rest, index }: Names) {
  const [on, was, a, b] = [quoteIdentifier(table), ...[old, first, rest].map(quoteIdentifier)];
  const sync = parse('dual-write', {
    id: `sync-${of}`,
    schema,
    table,
    up: { [first]: `split_part(${was}, ' ', 1)`, [rest]: `nullif(split_part(${was}, ' ', 2), '')` },
    down: { [old]: `${a} || coalesce(' ' || ${b}, '')` },
  });
  return {
    columns: parse('ddl', {
      id: `columns-${of}`,
      schema,
      up: `ALTER TABLE ${on} ADD COLUMN ${a} text, ADD COLUMN ${b} text;
           CREATE INDEX CONCURRENTLY ${quoteIdentifier(index)} ON ${on} (lower(${a}));
           ALTER TABLE ${on} ADD CONSTRAINT ${quoteIdentifier(index)} CHECK (${a} <> '');
           COMMENT ON COLUMN ${on}.${b} IS 'the rest';
           CREATE VIEW ${quoteIdentifier(`${index.slice(0, 20)} v`)} AS SELECT ${a} FROM ${on}`,
    }),
    sync,
    fill: parse('backfill', { id: `fill-${of}`, database: undefined, of: sync.id }),
    check: parse('verify', { id: `check-${of}`, database: undefined, of: sync.id }),
    retire: parse('retire', { id: `retire-${of}`, schema, column: `${table}.${old}` }),
  };
}

let bench: DdlBench;
beforeAll(async () => {
  bench = await ddlBench();
});
afterAll(() => bench.drop());

const tableOf = (names: Names): string => {
  const on = quoteTable(names.schema, names.table);
  const [key, old] = [quoteIdentifier(names.key), quoteIdentifier(names.old)];
  return `CREATE SCHEMA ${quoteIdentifier(names.schema)};
    CREATE TABLE ${on} (${key} bigint PRIMARY KEY, ${old} text);
    INSERT INTO ${on} SELECT i, CASE i % 3 WHEN 0 THEN 'Plato' ELSE 'Ada Lovelace' END FROM generate_series(1, 500) i;
    ANALYZE ${on}`;
};

test.each(Object.entries(NAMES))('%s: the whole way up and down', async (what, names) => {
  await bench.query(tableOf(names));
  const before = await bench.schema();
  const steps = stepsOf(String(Object.keys(NAMES).indexOf(what)), names);
  const run = <K extends Kind>(
    effect: { up: Effect<K>; down: Effect<K> },
    direction: 'up' | 'down',
    step: StepOf<K>,
    fields: Partial<EffectInput<K>> = {},
  ): Promise<EffectResult> => effect[direction](bench.input<K>(step, { direction, ...fields }), bench.context());
  const on = quoteTable(names.schema, names.table);
  const [key, old, a, b] = [names.key, names.old, names.first, names.rest].map(quoteIdentifier);
  const row = async (id: number, columns: string): Promise<(string | null)[]> =>
    Object.values((await bench.query(`SELECT ${columns} FROM ${on} WHERE ${key} = ${id}`))[0] ?? {});

  await bench.up(steps.columns);
  await run(dualWrite, 'up', steps.sync);
  await bench.query(`UPDATE ${on} SET ${old} = 'Grace Hopper' WHERE ${key} = 1`);
  expect(await row(1, `${a}, ${b}`)).toEqual(['Grace', 'Hopper']);
  await run(backfill, 'up', steps.fill, { of: steps.sync });
  expect(await row(3, `${a}, ${b}`)).toEqual(['Plato', null]);
  expect((await run(verify, 'up', steps.check, { of: steps.sync })).note).toBe('0 of 500 rows differ (1 pass)');
  await bench.query(`UPDATE ${on} SET ${a} = 'Emmy', ${b} = 'Noether' WHERE ${key} = 2`);
  expect(await row(2, old ?? '')).toEqual(['Emmy Noether']);

  await run(retire, 'up', steps.retire);
  await bench.query(`UPDATE ${on} SET ${a} = 'Lise', ${b} = 'Meitner' WHERE ${key} = 4`);
  expect(await row(4, quoteIdentifier(retiredName('test-migration', names.old)))).toEqual(['Lise Meitner']);
  await run(retire, 'down', steps.retire);
  expect(await row(4, old ?? '')).toEqual(['Lise Meitner']);

  await run(backfill, 'down', steps.fill, { of: steps.sync });
  await run(dualWrite, 'down', steps.sync);
  await bench.down(steps.columns);
  expect(await bench.schema()).toEqual(before);
  expect(await bench.query(`SELECT count(*) FROM ${on}`)).toEqual([{ count: '500' }]);
});

type Effect<K extends Kind> = (
  input: EffectInput<K>,
  context: ReturnType<DdlBench['context']>,
) => Promise<EffectResult>;
