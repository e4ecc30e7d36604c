/** Large enough for a lock to be noticed: twice LARGE_TABLE_ROWS. */
const ROWS = 20_000;

/** A table with 20,000 rows whose every column is given a number, or the expressions of `values`. */
export const large = (
  table: string,
  columns: string,
  values = columns
    .split(',')
    .map(() => 'i')
    .join(', '),
): string =>
  `CREATE TABLE ${table} (${columns});\nINSERT INTO ${table} SELECT ${values} FROM generate_series(1, ${ROWS}) i;\nANALYZE ${table}`;

export const USERS = large('users', 'id bigint PRIMARY KEY, email text, age integer');
export const EMPTY_USERS = 'CREATE TABLE users (id bigint PRIMARY KEY, email text, age integer)';
