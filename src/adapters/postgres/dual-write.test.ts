import { expect, test } from 'vitest';
import { renamedBy } from './dual-write.ts';

test('renames take effect at once: names that change places, and back', () => {
  const swap = [
    { from: 'id', to: 'id_int' },
    { from: 'id_big', to: 'id' },
  ];
  const there = renamedBy(['id', 'id_big'], {}, swap);
  expect(there).toEqual({ id: 'id_int', id_big: 'id' });
  const back = swap.map(({ from, to }) => ({ from: to, to: from }));
  expect(renamedBy(['id', 'id_big'], there ?? {}, back)).toEqual({});
  expect(renamedBy(['id'], {}, [{ from: 'name', to: 'id' }])).toBeNull();
});
