import { randomUUID } from 'node:crypto';
import { type Playbook, pick, type Row, tableClient } from './playbook.ts';
import type { Random } from '../engine/chaos-traffic.ts';

/** Both columns are unique, and so are the addresses. */
const next = (before: Row | null, random: Random): Row => ({
  name: before?.['name'] ?? pick(random, ['Ana', 'Bo', 'Cy']),
  email: `${randomUUID()}@example.com`,
});

export const renameColumn: Playbook = {
  name: 'rename-column',
  warnings: [],
  old: tableClient('customers', { name: 'name', email: 'mail' }, next),
  new: tableClient('customers', { name: 'name', email: 'email' }, next),
};
