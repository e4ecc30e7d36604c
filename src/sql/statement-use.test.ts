import { describe, expect, it } from 'vitest';
import { usesName } from './statement-use.ts';

const column = { schema: 'public', table: 'users', column: 'full_name' };

describe('the use of a column in a client’s statement', () => {
  it.each([
    'SELECT full_name FROM users WHERE id = $1',
    'SELECT u.full_name FROM public.users u JOIN pets p ON p.owner = u.id',
    'SELECT 1 FROM users WHERE lower(full_name) LIKE $1',
    'SELECT id FROM users ORDER BY full_name',
    'WITH named AS (SELECT full_name AS n FROM users) SELECT n FROM named',
    'SELECT (SELECT max(full_name) FROM users), $1',
    'UPDATE users SET full_name = $1 WHERE id = $2',
    'UPDATE users AS u SET given_name = $1 WHERE u.full_name = $2',
    'INSERT INTO users (id, full_name) VALUES ($1, $2)',
    'INSERT INTO users (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET full_name = excluded.full_name',
    'INSERT INTO users (id) VALUES ($1) RETURNING full_name',
    'DELETE FROM users WHERE full_name = $1',
    'MERGE INTO users u USING t ON t.id = u.id WHEN MATCHED THEN UPDATE SET full_name = t.name',
    'COPY users (id, full_name) TO STDOUT',
    'DECLARE c CURSOR FOR SELECT full_name FROM users',
    'SELECT full_name FROM users WHERE this does not parse',
  ])('%s', (sql) => expect(usesName(sql, column)).toBe(true));

  it.each([
    'SELECT given_name || $1 || family_name AS full_name FROM users ORDER BY full_name',
    'SELECT p.full_name FROM pets p JOIN users u ON u.id = p.owner',
    'SELECT full_name FROM pets',
    'SELECT full_name FROM other.users',
    'SELECT * FROM users',
    'UPDATE pets SET full_name = $1 FROM users u WHERE u.id = pets.owner',
    'ALTER TABLE users ALTER COLUMN full_name SET STATISTICS 10',
  ])('not: %s', (sql) => expect(usesName(sql, column)).toBe(false));
});

describe('the use of a table', () => {
  const table = { ...column, column: null };
  it.each(['SELECT * FROM users', 'INSERT INTO public.users DEFAULT VALUES', 'SELECT 1 WHERE EXISTS (TABLE users)'])(
    '%s',
    (sql) => expect(usesName(sql, table)).toBe(true),
  );
  it.each(['SELECT users FROM pets', 'TRUNCATE users', 'SELECT 1 FROM other.users'])('not: %s', (sql) =>
    expect(usesName(sql, table)).toBe(false),
  );
});
