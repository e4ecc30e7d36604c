import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SwitchbackError } from '../../src/messages/index.ts';
import { postgres14, type Postgres14 } from '../harness/postgres-14.ts';
import { type AcrossRoom, acrossRoom } from './across-room.ts';
import { VALUES, valueTables } from './across-values.ts';

const columns = VALUES.map(({ name }) => name);
const step = {
  left: { database: 'left', table: 'many', columns },
  right: { database: 'right', table: 'many', columns },
  onMismatch: 'fail',
};

let older: Postgres14;
beforeAll(async () => {
  older = await postgres14();
});
afterAll(() => older.stop());

describe.each(['the same version', 'Postgres 14'])('on the right: %s', (server) => {
  let room: AcrossRoom;
  beforeAll(async () => {
    room = await acrossRoom(server === 'Postgres 14' ? older.url : undefined);
    const { left, right } = valueTables();
    await room.make(left, right);
  });
  afterAll(() => room.close());

  test('what is equal is equal, and every other value is found', async () => {
    const found: number[] = [];
    // An error names twenty keys at most: these are taken away on both sides, and the rest is compared again.
    for (const id of ['first', 'second']) {
      const failure = await room.verify({ ...step, id }).catch((error: SwitchbackError) => error);
      expect(failure).toMatchObject({ code: 'VerifyMismatch', fields: { differing: VALUES.length - found.length } });
      const keys = String((failure as SwitchbackError).fields['keys']).split(', ');
      found.push(...keys.map(Number));
      for (const side of ['left', 'right'] as const)
        await room.query(side, `DELETE FROM public.many WHERE id IN (${keys.join(', ')})`);
    }
    expect(found.toSorted((a, b) => a - b)).toEqual(VALUES.map((_, at) => at + 2));
    expect((await room.verify({ ...step, id: 'third' })).note).toBe('0 of 2 rows differ (1 pass)');
  });
});
