import type { Random } from '../engine/chaos-traffic.ts';
import { type Client, type Playbook, pick, type Row } from './playbook.ts';

/** An order and the note of its one line. */
const next = (before: Row | null, random: Random): Row => ({
  item: before === null || random() < 0.5 ? `Item ${Math.floor(random() * 1e6)}` : (before['item'] ?? null),
  note: pick(random, ['fragile', 'É 🎉', 'as agreed']),
});

/**
 * Both write the same; what a key is, is the difference. New code says the type wherever it gives or takes one: a statement
 * that was prepared before the swap keeps the types that it had then.
 */
function keyed(type: 'integer' | 'bigint'): Client {
  const key = `$1::${type}`;
  return {
    select: `SELECT o.id::${type} AS id, o.item, l.note FROM orders o JOIN order_lines l ON l.order_id = o.id`,
    next,
    async add(query, { item = null, note = null }) {
      const [order] = await query(`INSERT INTO orders (item) VALUES ($1) RETURNING id::${type} AS id`, [item]);
      const id = order?.['id'] ?? '';
      await query(`INSERT INTO order_lines (order_id, note) VALUES (${key}, $2)`, [id, note]);
      return id;
    },
    async change(query, id, { item = null, note = null }) {
      await query(`UPDATE orders SET item = $2 WHERE id = ${key}`, [id, item]);
      await query(`UPDATE order_lines SET note = $2 WHERE order_id = ${key}`, [id, note]);
    },
    async remove(query, id) {
      await query(`DELETE FROM order_lines WHERE order_id = ${key}`, [id]);
      await query(`DELETE FROM orders WHERE id = ${key}`, [id]);
    },
  };
}

export const intToBigint: Playbook = {
  name: 'int-to-bigint',
  warnings: [],
  switched: true,
  // The last requests are made with keys beyond what an integer holds.
  lately: { up: "SELECT setval('orders_id_seq', 3000000000)" },
  proofs: { up: 'SELECT max(order_id) > 3000000000 AS proven FROM order_lines' },
  old: keyed('integer'),
  new: keyed('bigint'),
};
