import { expect, it } from 'vitest';
import { isLabelled, labelledTable, readPiiLabel } from './pii-label.ts';

it('reads tables with and without their schema and database, quoted where their names need it', () => {
  expect(readPiiLabel(' true ')).toBe('all');
  expect(readPiiLabel('users, crm.contacts,billing-db/customers, app/"My, crm"."a.""b"')).toEqual([
    { database: null, schema: null, table: 'users' },
    { database: null, schema: 'crm', table: 'contacts' },
    { database: 'billing-db', schema: null, table: 'customers' },
    { database: 'app', schema: 'My, crm', table: 'a."b' },
  ]);
});

it.each(['', 'yes', 'false', 'users,', 'a.b.c', 'a b', '/users', 'App_1/users', '"users', 'users x'])(
  'does not take %j for tables',
  (text) => {
    expect(readPiiLabel(text)).toBeNull();
  },
);

it('means a table of any schema and database where it names none', () => {
  const of = { database: 'app', schema: 'crm', table: 'users' };
  const labels = ['users', 'crm.users', 'public.users', 'Users'].map((text) => labelledTable(text));
  expect(labels.map((label) => label !== null && isLabelled(label, of))).toEqual([true, true, false, false]);
});
