import type { Random } from '../engine/chaos-traffic.ts';
import { type Client, type Playbook, pick, type Row, tableClient } from './playbook.ts';

const STATES = { placed: 'new', paid: 'paid', shipped: 'sent', missing: 'lost' } as const;
const next = (before: Row | null, random: Random): Row => ({
  item: before?.['item'] ?? `Item ${Math.floor(random() * 1e6)}`,
  state: pick(random, Object.keys(STATES)),
});
/** The same order in the words of the old column. */
const inStatus = (row: Row): Row => {
  const { item = null, state } = row;
  return { item, status: STATES[state as keyof typeof STATES] };
};
const inState = ({ item = null, status }: Row): Row => ({
  item,
  state: Object.entries(STATES).find(([, old]) => old === status)?.[0] ?? null,
});
const status: Client = tableClient('orders', { item: 'item', status: 'status' }, next);

export const replaceEnum: Playbook = {
  name: 'replace-enum',
  warnings: [],
  old: {
    ...status,
    add: (query, row) => status.add(query, inStatus(row)),
    change: (query, id, row, before) => status.change(query, id, inStatus(row), inStatus(before)),
  },
  new: tableClient('orders', { item: 'item', state: 'state' }, next),
  oldForm: inStatus,
  fromOld: inState,
};
