import type { Random } from '../engine/chaos-traffic.ts';
import { type Client, type Playbook, pick, type Row, tableClient } from './playbook.ts';

const next = (before: Row | null, random: Random): Row => ({
  email: before === null || random() < 0.5 ? `a${Math.floor(random() * 1e9)}@example.com` : (before['email'] ?? null),
  locale: pick(random, ['en', 'nb', 'de']),
});

/** No locale is 'en' for all of them; both write only what changes. */
const read = "SELECT id, email, coalesce(locale, 'en') AS locale FROM accounts";
const fresh: Client = { ...tableClient('accounts', { email: 'email', locale: 'locale' }, next), select: read };
const orNull = (row: Row): Row => ({ ...row, locale: row['locale'] === 'en' ? null : (row['locale'] ?? null) });

export const notNull: Playbook = {
  name: 'not-null',
  warnings: [],
  // Of a thousand that had none: clients have written a few.
  proofs: { back: 'SELECT count(*) > 500 AS proven FROM accounts WHERE id <= 3000 AND locale IS NULL' },
  old: {
    ...fresh,
    add: (query, row) => fresh.add(query, orNull(row)),
    change: (query, id, row, before) => fresh.change(query, id, orNull(row), before),
  },
  new: fresh,
};
