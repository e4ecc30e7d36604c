import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { formOf, rowHash } from '../../src/adapters/postgres/across-form.ts';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { crashLine } from '../harness/crash-line.ts';
import { type AcrossRoom, acrossRoom } from './across-room.ts';

let room: AcrossRoom;
beforeAll(async () => {
  room = await acrossRoom();
});
afterAll(() => room.close());

const ROWS = 300;
const TABLE = `CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO people SELECT i, 'Name ' || i FROM generate_series(1, ${ROWS}) i; ANALYZE people`;
const PLANTED = `DELETE FROM public.people WHERE id IN (1, 2); INSERT INTO public.people VALUES (-1, 'extra');
UPDATE public.people SET name = 'other' WHERE id IN (100, ${ROWS})`;
/** Every so many statements the worker dies once. */
const STRIDE = 7;

test('a worker that dies at any statement has repaired each row once or not at all', async () => {
  await room.make(TABLE, TABLE);
  const end = (pid: number) => room.query('right', 'SELECT pg_terminate_backend($1)', [pid]);
  const line = await crashLine(room.urls.right, end);
  onTestFinished(() => line.close());
  let statements = 0;
  for (let at = 0; ; at += STRIDE) {
    await room.query('right', PLANTED);
    const databases = new Databases({ left: { url: room.urls.left }, right: { url: line.url } });
    const step = {
      ...{ id: `crash-${at}`, settle: '10ms', chunk: { rows: 100, fixed: true } },
      left: { database: 'left', table: 'people', columns: ['name'] },
      right: { database: 'right', table: 'people', columns: ['name'] },
    };
    line.arm(at, 'lost');
    await room.verify(step, { databases }).catch(() => undefined);
    const broken = line.brokenAt;
    statements = line.statements.length;
    line.disarm();
    await databases.close();
    const { note } = await room.verify(step);
    expect(note, broken ?? '').toBe(`0 of ${ROWS} rows differ (2 passes, 5 repaired)`);
    const lineage = await room.query(
      'right',
      `SELECT string_agg(lower_key[1], ' ' ORDER BY lower_key[1]::int) AS keys FROM switchback.lineage WHERE step = $1`,
      [step.id],
    );
    expect(lineage, broken ?? '').toEqual([{ keys: `-1 1 2 100 ${ROWS}` }]);
    if (broken === null) break;
  }
  expect(statements).toBeGreaterThan(40);
});

test('where the servers do not hash alike, md5 of the same texts does it', async () => {
  const type = (name: string) => ({ oid: '0', name, builtIn: true, hasEquality: true, labels: null });
  const hashOf = (sql: string, of: string, other: string, sameEncoding: boolean) => {
    const form = formOf(type(of), type(other));
    return rowHash([{ sql: '7', form: formOf(type('integer'), type('integer')) }], [{ sql, form }], {
      native: false,
      sameEncoding,
    });
  };
  const [row] = await room.query(
    'left',
    `SELECT ${hashOf("'1.0'::numeric", 'numeric', 'integer', false)} = ${hashOf('1', 'integer', 'numeric', true)} AS same,
       ${hashOf("'1'::numeric", 'numeric', 'numeric', true)} = ${hashOf("'-1'::numeric", 'numeric', 'numeric', true)} AS other,
       ${hashOf('NULL::text', 'text', 'text', true)} IS NULL AS nothing`,
  );
  expect(row).toEqual({ same: 't', other: 'f', nothing: 'f' });
});

test('databases of different encodings: the same letters are the same', async () => {
  const name = new URL(room.urls.right).pathname.slice(1);
  await room.query(
    'left',
    `CREATE DATABASE ${name}_latin ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0`,
  );
  const url = new URL(room.urls.right);
  url.pathname = `/${name}_latin`;
  const other = await acrossRoom(undefined, url.href);
  try {
    const table =
      "CREATE TABLE letters (id text PRIMARY KEY, v text); INSERT INTO letters VALUES ('å', 'grün'), ('b', NULL), ('ß', 'é')";
    await other.make(table, `${table}; UPDATE letters SET v = 'e' WHERE id = 'ß'`);
    const side = (database: string) => ({ database, table: 'letters', columns: ['v'] });
    const step = { left: side('left'), right: side('right') };
    expect((await other.verify(step)).note).toBe('0 of 3 rows differ (2 passes, 1 repaired)');
    expect(await other.query('right', "SELECT v FROM public.letters WHERE id = 'ß'")).toEqual([{ v: 'é' }]);
  } finally {
    await other.close();
    await room.query('left', `DROP DATABASE ${name}_latin WITH (FORCE)`);
  }
});
