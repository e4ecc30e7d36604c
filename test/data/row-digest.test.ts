import { expect, test } from 'vitest';
import { rowHash } from '../../src/adapters/postgres/row-digest.ts';
import { readTableShape } from '../../src/adapters/postgres/table-shape.ts';
import { dataRoom } from './room.ts';

test('integers that Postgres’s own hash takes for one, as it folds 64 bits into 32, have different digests', async () => {
  const room = await dataRoom(
    'CREATE TABLE numbers (id bigint PRIMARY KEY, big bigint, small smallint); INSERT INTO numbers VALUES (1, 1, 1), (4294967296, 1, 1), (2, 4294967296, 1), (3, 1, -2)',
  );
  expect(await room.value('SELECT hashint8extended(1, 7) = hashint8extended(4294967296, 7)')).toBe('t');
  const shape = await room.database.transaction((session) => readTableShape(session, 'public', 'numbers'));
  const hash = (columns: { key: string[]; values: string[] }) =>
    `count(DISTINCT ${rowHash(shape, columns, 'numbers')})`;
  const distinct = [
    hash({ key: ['id'], values: ['small'] }),
    hash({ key: [], values: ['big'] }),
    hash({ key: [], values: ['small'] }),
  ];
  expect(await room.query(`SELECT ARRAY[${distinct.join(', ')}] AS distinct FROM public.numbers`)).toEqual([
    { distinct: '{4,2,2}' },
  ]);
});
