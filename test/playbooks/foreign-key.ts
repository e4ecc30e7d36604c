import type { Random } from '../engine/chaos-traffic.ts';
import { type Client, type Playbook, pick, type Query, type Row } from './playbook.ts';

/** An order and the name of its customer, who has no other. */
const next = (before: Row | null, random: Random): Row => ({
  amount_cents: String(Math.floor(random() * 1e6)),
  customer: before === null || random() < 0.6 ? pick(random, ['Ana', 'Bo', 'Cy', null]) : (before['customer'] ?? null),
});
const THEIRS = '(SELECT customer_id FROM orders WHERE id = $1)';
const addCustomer = async (query: Query, name: string | null): Promise<string | null> =>
  (await query('INSERT INTO customers (name) VALUES ($1) RETURNING id', [name]))[0]?.['id'] ?? null;

/** `forget` takes the customer away from an order that stays. */
const clientThat = (forget: (query: Query, id: string) => Promise<void>): Client => ({
  select: 'SELECT o.id, o.amount_cents, c.name AS customer FROM orders o LEFT JOIN customers c ON c.id = o.customer_id',
  next,
  async add(query, { amount_cents = null, customer = null }) {
    const theirs = customer === null ? null : await addCustomer(query, customer);
    const sql = 'INSERT INTO orders (amount_cents, customer_id) VALUES ($1, $2) RETURNING id';
    return (await query(sql, [amount_cents, theirs]))[0]?.['id'] ?? '';
  },
  async change(query, id, { amount_cents = null, customer = null }, before) {
    await query('UPDATE orders SET amount_cents = $2 WHERE id = $1', [id, amount_cents]);
    if (customer === before['customer']) return;
    if (before['customer'] === null)
      await query('UPDATE orders SET customer_id = $2 WHERE id = $1', [id, await addCustomer(query, customer)]);
    else if (customer !== null) await query(`UPDATE customers SET name = $2 WHERE id = ${THEIRS}`, [id, customer]);
    else await forget(query, id);
  },
  async remove(query, id) {
    const [theirs] = await query('DELETE FROM orders WHERE id = $1 RETURNING customer_id', [id]);
    await query('DELETE FROM customers WHERE id = $1', [theirs?.['customer_id'] ?? null]);
  },
});

export const foreignKey: Playbook = {
  name: 'foreign-key',
  warnings: [],
  // Of three hundred that named nobody: clients have written a few.
  proofs: {
    back: `SELECT count(*) > 150 AS proven FROM orders WHERE id <= 3000 AND customer_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM customers c WHERE c.id = customer_id)`,
  },
  // Leaves an order that names nobody.
  old: clientThat(async (query, id) => void (await query(`DELETE FROM customers WHERE id = ${THEIRS}`, [id]))),
  new: clientThat(async (query, id) => {
    const [theirs] = await query(`SELECT customer_id FROM orders WHERE id = $1`, [id]);
    await query('UPDATE orders SET customer_id = NULL WHERE id = $1', [id]);
    await query('DELETE FROM customers WHERE id = $1', [theirs?.['customer_id'] ?? null]);
  }),
};
