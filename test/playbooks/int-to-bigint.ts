import type { Random } from '../engine/chaos-traffic.ts';
import { type Client, type Playbook, pick, type Row, tableClient } from './playbook.ts';

/** An order and the note of its one line. */
const next = (before: Row | null, random: Random): Row => ({
  item: before === null || random() < 0.5 ? `Item ${Math.floor(random() * 1e6)}` : (before['item'] ?? null),
  note: pick(random, ['fragile', 'É 🎉', 'as agreed']),
});
const orders = tableClient('orders', { item: 'item' }, next);
const lines = tableClient('order_lines', { note: 'note' }, next, 'order_id');

/** Both write the same; what a key is read as is the difference. */
const reading = (type: 'integer' | 'bigint'): Client => ({
  select: `SELECT o.id::${type} AS id, o.item, l.note FROM orders o JOIN order_lines l ON l.order_id = o.id`,
  next,
  async add(query, row) {
    const [order] = await query(`INSERT INTO orders (item) VALUES ($1) RETURNING id::${type} AS id`, [
      row['item'] ?? null,
    ]);
    const id = order?.['id'] ?? '';
    await query('INSERT INTO order_lines (order_id, note) VALUES ($1, $2)', [id, row['note'] ?? null]);
    return id;
  },
  async change(query, id, row, before) {
    await orders.change(query, id, row, before);
    await lines.change(query, id, row, before);
  },
  async remove(query, id) {
    await lines.remove(query, id);
    await orders.remove(query, id);
  },
});

export const intToBigint: Playbook = {
  name: 'int-to-bigint',
  warnings: [],
  switched: true,
  // Beyond what an integer holds.
  proofs: {
    up: `SELECT setval('orders_id_seq', 3000000000);
      WITH big AS (INSERT INTO orders (item) VALUES ('big') RETURNING id)
      INSERT INTO order_lines (order_id, note) SELECT id, 'big' FROM big RETURNING order_id > 3000000000 AS proven`,
  },
  old: reading('integer'),
  new: reading('bigint'),
};
