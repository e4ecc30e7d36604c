import type { Random } from '../engine/chaos-traffic.ts';
import { type Client, type Playbook, pick, type Row, tableClient } from './playbook.ts';

const OF_COUNTRY: Readonly<Record<string, string>> = { NO: 'NOK', US: 'USD', DE: 'EUR' };
const withCurrency = (seen: Row): Row => ({ ...seen, currency: OF_COUNTRY[seen['country'] ?? ''] ?? null });
const older = (before: Row | null, random: Random): Row => ({
  // Of an order that stays where it is the currency is the same whenever it is worked out.
  country: before === null ? pick(random, Object.keys(OF_COUNTRY)) : (before['country'] ?? null),
  amount_cents: String(Math.floor(random() * 1e6)),
});
const old: Client = tableClient('orders', { country: 'country', amount_cents: 'amount_cents' }, (before, random) =>
  // An order keeps the currency that it has.
  before === null
    ? withCurrency(older(null, random))
    : { ...older(before, random), currency: before['currency'] ?? null },
);

export const addColumnBackfill: Playbook = {
  name: 'add-column-backfill',
  warnings: [],
  // What only new clients knew is kept.
  proofs: {
    back: `SELECT count(*) > 0 AS proven FROM switchback.rescued WHERE "column" = 'currency' AND value = 'SEK'`,
  },
  old,
  new: tableClient(
    'orders',
    { country: 'country', amount_cents: 'amount_cents', currency: 'currency' },
    (before, random) => ({ ...older(before, random), currency: pick(random, ['NOK', 'EUR', 'USD', 'SEK']) }),
  ),
  oldForm: ({ country = null, amount_cents = null }) => ({ country, amount_cents }),
  fromOld: withCurrency,
};
