import { describe, expect, test } from 'vitest';
import { type Database, Databases, type Queryable } from '../../src/adapters/postgres/database.ts';
import { catalogJson, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import { retiredName } from '../../src/adapters/postgres/retire-work.ts';
import { type ContractCase, contractRoom } from './contract-room.ts';
import { failure } from './other-session.ts';

const room = contractRoom();
const OLD = `CREATE TABLE old (id serial PRIMARY KEY, note text DEFAULT 'n' NOT NULL);
  CREATE INDEX old_note ON old (note);
  INSERT INTO old (note) SELECT 'n' || i FROM generate_series(1, 50) i;
  GRANT SELECT ON old TO PUBLIC`;
const TABLE = { table: 'old' };
const schemaOf = async (): Promise<unknown> => catalogJson(await catalogSnapshot(room.bench().database));
const nameOf = (at: ContractCase): string => retiredName(at.run.migration, 'old');

describe('a table', () => {
  test('goes out of use and comes back: the schema is as before, the rows never moved', async () => {
    const at = await room.open(OLD);
    const before = await schemaOf();
    const file = `SELECT pg_relation_filenode(oid) AS file FROM pg_class WHERE relnamespace = '${at.schema}'::regnamespace AND relkind = 'r'`;
    const rows = await at.query(file);
    const retire = at.step('retire', TABLE);
    const notes = await Promise.all([at.act('up', retire), at.act('up', retire)]);
    expect(notes.map(({ note }) => note)).toContain('was retired before');
    expect((await failure(at.query('SELECT FROM old'))).message).toContain('does not exist');
    expect(await at.query(`SELECT count(*) AS n FROM ${nameOf(at)}`)).toEqual([{ n: '50' }]);
    const back = await Promise.all([at.act('down', retire), at.act('down', retire)]);
    expect(back.map(({ note }) => note)).toEqual(['"old" is back in use', '"old" is back in use']);
    expect(await schemaOf()).toEqual(before);
    expect(await at.query(file)).toEqual(rows);
    expect(await failure(at.act('up', retire))).toMatchObject({ code: 'Fenced' });
  });

  test('foreign keys of others go on holding, and are told', async () => {
    const at = await room.open(`${OLD}; CREATE TABLE parts (old_id int REFERENCES old)`);
    const { note } = await at.act('up', at.step('retire', TABLE));
    expect(note).toContain(`foreign keys that go on holding: parts_old_id_fkey of ${at.schema}.parts`);
    expect((await failure(at.query('INSERT INTO parts VALUES (99)'))).message).toContain('parts_old_id_fkey');
    await at.query('INSERT INTO parts VALUES (50)');
  });

  test.each([
    ['a view', 'CREATE VIEW names AS SELECT note FROM old', 'view SCHEMA.names'],
    ['a materialized view', 'CREATE MATERIALIZED VIEW names AS SELECT note FROM old', 'materialized view SCHEMA.names'],
    [
      'a rule of another table',
      'CREATE TABLE other (id int); CREATE RULE r AS ON INSERT TO other DO ALSO DELETE FROM old',
      'a rule on SCHEMA.other',
    ],
    [
      'a function by its text',
      `CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM Old); END'`,
      'function SCHEMA.f()',
    ],
    [
      'a function of its rows',
      `CREATE FUNCTION f(o old) RETURNS text LANGUAGE sql AS 'SELECT $1.note'`,
      'function SCHEMA.f(SCHEMA.old)',
    ],
    ['a column of its type', 'CREATE TABLE other (o old)', 'column o of SCHEMA.other'],
  ])('is refused while it is named by %s', async (_what, sql, named) => {
    const at = await room.open(`${OLD}; ${sql}`);
    const error = await failure(at.act('up', at.step('retire', TABLE)));
    expect(error).toMatchObject({ code: 'StillInUse', retry: false });
    expect(error.message).toContain(named.replaceAll('SCHEMA', at.schema));
    await at.query('SELECT FROM old');
    expect((await at.act('down', at.step('retire', TABLE))).note).toBe('"old" had not been retired');
  });

  test('is refused while a dual write keeps its columns in step', async () => {
    const at = await room.open(`${OLD}; ALTER TABLE old ADD COLUMN loud text`);
    await at.act('up', at.step('dual-write', { ...TABLE, up: { loud: 'upper(note)' } }));
    const error = await failure(at.act('up', at.step('retire', TABLE)));
    expect(error).toMatchObject({ code: 'StillInUse' });
    expect(error.message).toContain('the dual write of step "dual-write"');
  });

  test('its own triggers, rules and constraints are part of it', async () => {
    const at = await room.open(`${OLD}; ALTER TABLE old ADD COLUMN parent int REFERENCES old, ADD CHECK (note <> '');
      CREATE TRIGGER t BEFORE UPDATE ON old FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
      CREATE RULE r AS ON DELETE TO old WHERE old.id = 0 DO INSTEAD NOTHING; CREATE POLICY p ON old USING (id > 0)`);
    await at.act('up', at.step('retire', TABLE));
    await at.act('up', at.step('drop', { ...TABLE, retention: '0s', acceptedLoss: 50 }));
    expect(await at.query(`SELECT relname FROM pg_class WHERE relnamespace = '${at.schema}'::regnamespace`)).toEqual(
      [],
    );
  });

  test('what is no table of its own is refused: a view, a partition, a name that isn’t there', async () => {
    const at = await room.open(`CREATE TABLE whole (id int) PARTITION BY RANGE (id);
      CREATE TABLE old PARTITION OF whole DEFAULT; CREATE VIEW seen AS SELECT 1`);
    const refusal = async (table: string): Promise<string> =>
      (await failure(at.act('up', at.step('retire', { id: `retire-${table}`, table })))).message;
    expect(await refusal('old')).toContain(`is part of ${at.schema}.whole`);
    expect(await refusal('seen')).toContain('is not a table');
    expect(await refusal('nothing')).toContain('does not exist');
    await at.act('up', at.step('retire', { id: 'whole', table: 'whole' }));
    await at.act('up', at.step('drop', { table: 'whole', retention: '0s' }));
  });

  test('a new table of the old name is left alone; one that is gone is told', async () => {
    const at = await room.open(OLD);
    const retire = at.step('retire', TABLE);
    await at.act('up', retire);
    await at.query('CREATE TABLE old (id int)');
    expect(await failure(at.act('down', retire))).toMatchObject({ code: 'ForeignObject' });
    await at.query(`DROP TABLE old; DROP TABLE ${nameOf(at)}`);
    expect(await failure(at.act('down', retire))).toMatchObject({ code: 'SchemaDrift' });
  });
});

/** What is true after each statement of our transactions: which locks are held on a table, how often it was scanned. */
interface Seen {
  statement: string;
  strong: boolean;
  scans: number;
}
function observed(database: Database, table: string, seen: Seen[]): Database {
  const watched = (inner: Queryable): Queryable => ({
    async query(sql, values) {
      const rows = await inner.query(sql, values);
      const [row] = await inner.query(
        `SELECT coalesce(bool_or(l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')), false) AS strong,
           pg_stat_get_xact_numscans(to_regclass($1)) AS scans
         FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.relation = to_regclass($1)`,
        [table],
      );
      seen.push({ statement: sql, strong: row?.['strong'] === 't', scans: Number(row?.['scans']) });
      return rows;
    },
  });
  const session: Database['session'] = (work, options) =>
    database.session(
      (one) => work({ ...one, transaction: (inner) => one.transaction((transaction) => inner(watched(transaction))) }),
      options,
    );
  return new Proxy(database, {
    get: (target, name) => {
      if (name === 'session') return session;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

test('a column comes back without a scan under a lock that holds up clients, and without a new file', async () => {
  const at = await room.open(`CREATE TABLE users (id int PRIMARY KEY, full_name text NOT NULL, given_name text);
    CREATE INDEX by_name ON users (full_name);
    INSERT INTO users (id, full_name) SELECT i, 'n' || i FROM generate_series(1, 1000) i`);
  await at.act(
    'up',
    at.step('dual-write', { table: 'users', up: { given_name: 'full_name' }, down: { full_name: 'given_name' } }),
  );
  const retire = at.step('retire', { column: 'users.full_name' });
  await at.act('up', retire);
  await at.query("UPDATE users SET given_name = 'now' WHERE id = 7");
  const files = `SELECT relname, pg_relation_filenode(oid) AS file FROM pg_class WHERE relnamespace = '${at.schema}'::regnamespace ORDER BY 1`;
  const before = await at.query(files);
  const seen: Seen[] = [];
  const watched = observed(room.bench().database, `${at.schema}.users`, seen);
  const databases = Object.assign(new Databases({}), { get: () => watched });
  await at.act('down', retire, { databases });
  expect(await at.query('SELECT full_name FROM users WHERE id = 7')).toEqual([{ full_name: 'now' }]);
  expect(await at.query(files)).toEqual(before);
  expect(seen.filter(({ strong, scans }) => strong && scans > 0)).toEqual([]);
  // The probe sees both: locks that hold up clients, and the scan that holds up nobody.
  expect(seen.some(({ strong, statement }) => strong && statement.includes('RENAME COLUMN'))).toBe(true);
  expect(seen.filter(({ scans }) => scans > 0).map(({ statement }) => statement)).toContainEqual(
    expect.stringContaining('VALIDATE CONSTRAINT'),
  );
});
