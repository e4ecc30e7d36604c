import type { Random } from '../engine/chaos-traffic.ts';
import { type Client, type Playbook, pick, type Row, tableClient } from './playbook.ts';

const next = (before: Row | null, random: Random): Row => ({
  item: before?.['item'] ?? `Item ${Math.floor(random() * 1e6)}`,
  price: `${(random() * 1_000).toFixed(pick(random, [0, 1, 2]))} ${pick(random, ['NOK', 'EUR', 'USD'])}`,
});
const columns: Client = tableClient('offers', { item: 'item', amount: 'amount', currency: 'currency' }, next);
const inColumns = (row: Row): Row => {
  const { item = null, price } = row;
  const [amount = null, currency = null] = (price ?? '').split(' ');
  return { item, amount, currency };
};

export const splitColumn: Playbook = {
  name: 'split-column',
  warnings: [],
  switched: true,
  breach: "INSERT INTO failed_requests (path) SELECT 'new' FROM generate_series(1, 4)",
  old: tableClient('offers', { item: 'item', price: 'price' }, next),
  new: {
    ...columns,
    select: "SELECT id, item, amount || ' ' || currency AS price FROM offers",
    add: (query, row) => columns.add(query, inColumns(row)),
    change: (query, id, row, before) => columns.change(query, id, inColumns(row), inColumns(before)),
  },
};
