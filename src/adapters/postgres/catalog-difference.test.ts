import { expect, test } from 'vitest';
import { type CatalogObject, type CatalogSnapshot, catalogKey } from './catalog.ts';
import { catalogDifference, renamedColumns } from './catalog-difference.ts';

const column = (of: string, name: string, number: number): CatalogObject => ({
  kind: 'column',
  schema: 'public',
  of,
  name,
  identity: `relation/${of}/${number}`,
  properties: { type: number === 1 ? 'integer' : 'bigint' },
});
const snapshot = (...objects: CatalogObject[]): CatalogSnapshot =>
  new Map(objects.map((object) => [catalogKey(object), object]));

test('columns whose names change places are renamed, though a comparison by name sees other columns', () => {
  const before = snapshot(column('orders', 'id', 1), column('orders', 'id_big', 2), column('people', 'id', 1));
  const after = snapshot(column('orders', 'id_int', 1), column('orders', 'id', 2), column('people', 'id', 1));
  expect(catalogDifference(before, after).renamed).toEqual([]);
  expect(renamedColumns(before, after)).toEqual([
    {
      schema: 'public',
      table: 'orders',
      renames: [
        { from: 'id', to: 'id_int' },
        { from: 'id_big', to: 'id' },
      ],
    },
  ]);
  expect(renamedColumns(after, after)).toEqual([]);
});
