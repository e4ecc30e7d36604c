import type pg from 'pg';
import { joinName, splitName } from './names.ts';
import type { ServiceTable } from './service-tables.ts';

/** One way in which a service has its users' names. */
export interface NamePath {
  read(this: void, userId: number): Promise<string | null>;
  write(this: void, userId: number, fullName: string, kind: WriteKind): Promise<void>;
}
export type WriteKind = 'rename' | 'sign-up';

/** The old way: one column. */
export const inOneColumn = (database: pg.Pool, of: ServiceTable): NamePath =>
  namePath(database, of, {
    columns: ['full_name'],
    valuesOf: (fullName) => [fullName],
    nameOf: (row) => row['full_name'] ?? '',
  });

/** The new way: two columns. */
export const inTwoColumns = (database: pg.Pool, of: ServiceTable): NamePath =>
  namePath(database, of, {
    columns: ['given_name', 'family_name'],
    valuesOf: (fullName) => {
      const { given, family } = splitName(fullName);
      return [given, family];
    },
    nameOf: (row) => joinName({ given: row['given_name'] ?? '', family: row['family_name'] ?? null }),
  });

type Row = Record<string, string | null>;

function namePath(
  database: pg.Pool,
  { table, key, service }: ServiceTable,
  of: { columns: string[]; valuesOf(fullName: string): (string | null)[]; nameOf(row: Row): string },
): NamePath {
  const numbered = of.columns.map((column, index) => ({ column, value: `$${index + 2}` }));
  const inserted = [
    { column: key, value: '$1::bigint' },
    ...numbered,
    ...(service === 'accounts' ? [{ column: 'email', value: `'user' || $1::bigint || '@example.com'` }] : []),
  ];
  const sql = {
    read: `SELECT ${of.columns.join(', ')} FROM ${table} WHERE ${key} = $1`,
    rename: `UPDATE ${table} SET ${numbered.map(({ column, value }) => `${column} = ${value}`).join(', ')} WHERE ${key} = $1`,
    'sign-up': `INSERT INTO ${table} (${inserted.map(({ column }) => column).join(', ')})
      VALUES (${inserted.map(({ value }) => value).join(', ')})`,
  };
  return {
    async read(userId) {
      const { rows } = await database.query<Row>(sql.read, [userId]);
      return rows[0] === undefined ? null : of.nameOf(rows[0]);
    },
    async write(userId, fullName, kind) {
      const { rowCount } = await database.query(sql[kind], [userId, ...of.valuesOf(fullName)]);
      if (rowCount !== 1) throw new Error(`user ${userId} isn't there`);
    },
  };
}
