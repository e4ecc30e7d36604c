import { expect, test } from 'vitest';
import { chain, schemaOf, splitSteps } from '../data/chain.ts';
import { dataRoom, effects, users } from '../data/room.ts';
import { clientOf, gateAt } from './gate.ts';
import { byWayOf } from './ways.ts';

const { dualWrite, backfill, verify } = effects;
const CHUNKS = { chunk: { rows: 50, fixed: true } };

/** What keeps clients short, and what changes how text, numbers and functions read; nothing of it may reach our work. */
const HOSTILE = {
  statement_timeout: '5ms',
  lock_timeout: '1ms',
  idle_in_transaction_session_timeout: '5ms',
  idle_session_timeout: '5ms',
  transaction_timeout: '3s',
  default_transaction_read_only: 'on',
  default_transaction_isolation: 'serializable',
  default_transaction_deferrable: 'on',
  search_path: 'hostile, pg_catalog',
  row_security: 'on',
  DateStyle: 'SQL, DMY',
  IntervalStyle: 'sql_standard',
  TimeZone: 'Asia/Tokyo',
  extra_float_digits: '-15',
  bytea_output: 'escape',
  quote_all_identifiers: 'on',
  standard_conforming_strings: 'off',
  array_nulls: 'off',
  transform_null_equals: 'on',
  check_function_bodies: 'on',
  enable_indexscan: 'off',
  'plpgsql.variable_conflict': 'error',
  'plpgsql.extra_errors': 'all',
  client_min_messages: 'error',
  session_replication_role: 'replica',
};

test.each(['role', 'database'] as const)(
  'settings of a %s: expand, dual write, backfill, verify and back as without them',
  async (whose) => {
    const room = await dataRoom(
      String.raw`CREATE TABLE users (id bigint PRIMARY KEY, full_name text NOT NULL, note text, at timestamptz DEFAULT '2026-01-31Z', part float8 DEFAULT 0.1, raw bytea DEFAULT '\x5c27');
      INSERT INTO users (id, full_name) SELECT i, E'A\\d\'a Love"lace' || i FROM generate_series(1, 300) i; ANALYZE users`,
    );
    const before = await schemaOf(room.bench);
    const on = whose === 'role' ? 'ROLE %I IN DATABASE %I' : 'DATABASE %2$I';
    for (const [name, value] of Object.entries(HOSTILE)) {
      const sql = await room.value(
        `SELECT format('ALTER ${on} SET ${name} = %3$L', current_user, current_database(), $1::text)`,
        [value],
      );
      await room.query(sql ?? '');
    }
    const bench = byWayOf(room.bench, { url: room.url });
    const steps = splitSteps();
    const more = {
      id: 'more',
      uses: 'dual-write',
      database: 'app',
      table: 'users',
      up: { at_text: "at::text || ' ' || part || ' ' || raw::text" },
    } as const;
    const migration = chain(bench, [
      { id: 'column', uses: 'ddl', database: 'app', up: 'ALTER TABLE users ADD COLUMN at_text text' },
      ...steps,
      more,
      { id: 'fill-more', uses: 'backfill', of: 'more' },
      { id: 'check-more', uses: 'verify', of: 'more', onMismatch: 'fail' },
    ]);
    await migration.up(['column', 'columns', 'sync', 'more']);
    // A client with all of that but for what keeps it from writing at all: our triggers run in its session.
    const writes = {
      default_transaction_read_only: 'off',
      session_replication_role: 'origin',
      idle_session_timeout: '0',
    };
    // What it has set for text is its own affair: an expression that gives text of a time gives it as its client reads it.
    const asText = { TimeZone: 'UTC', DateStyle: 'ISO', extra_float_digits: '1', bytea_output: 'hex' };
    const options = Object.entries({ ...writes, ...asText, statement_timeout: '0', lock_timeout: '0' });
    const client = await clientOf(room, options.map(([name, value]) => `-c ${name}=${value}`).join(' '));
    await client.query("UPDATE public.users SET note = 'x' WHERE id = 1");
    await migration.up(['fill', 'fill-more', 'check', 'check-more', 'hide']);
    expect(await room.query('SELECT DISTINCT given_name, at_text FROM public.users')).toEqual([
      { given_name: "A\\d'a", at_text: String.raw`2026-01-31 00:00:00+00 0.1 \x5c27` },
    ]);
    await migration.down();
    expect(await schemaOf(room.bench)).toEqual(before);
  },
);

test.each(['REPEATABLE READ', 'SERIALIZABLE'])(
  'a client at %s beside chunks gets 40001, tries again, and nothing is lost',
  async (level) => {
    const room = await dataRoom(users(200));
    await dualWrite.up(room.dualWrite(), room.bench.context());
    const [early, late] = [await clientOf(room), await clientOf(room)];
    const gate = await gateAt(room, 'old.id = 51');
    const filling = backfill.up(room.backfill(CHUNKS), room.bench.context());
    await gate.reached(filling);
    // Both have seen the table before the chunk changes it: one writes first and wins, the other one comes too late.
    for (const client of [early, late])
      await client.query(`BEGIN ISOLATION LEVEL ${level}; SELECT count(*) FROM users`);
    await early.query("UPDATE users SET given_name = 'Jean Luc', family_name = 'Picard' WHERE id = 107");
    await gate.open();
    await early.isWaitedFor();
    await early.query('COMMIT');
    await filling;
    const write = "UPDATE users SET full_name = 'Late Writer' WHERE id = 60";
    await expect(late.query(write)).rejects.toMatchObject({ code: '40001' });
    await late.query('ROLLBACK');
    await late.query(`BEGIN ISOLATION LEVEL ${level}; ${write}; COMMIT`);
    expect(
      await room.query('SELECT full_name, given_name, family_name FROM public.users WHERE id IN (60, 107) ORDER BY id'),
    ).toEqual([
      { full_name: 'Late Writer', given_name: 'Late', family_name: 'Writer' },
      { full_name: 'Jean Luc Picard', given_name: 'Jean Luc', family_name: 'Picard' },
    ]);
    expect((await verify.up(room.verify({ onMismatch: 'fail' }), room.bench.context())).note).toBe(
      '0 of 200 rows differ (1 pass)',
    );
  },
);

test('the disk is full: the backfill stops with Postgres’s words, nothing half done, and goes on when there is room', async () => {
  const room = await dataRoom(`${users(300)}; CREATE TABLE disk (full_up boolean); INSERT INTO disk VALUES (true);
    CREATE FUNCTION extend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF (SELECT full_up FROM public.disk) THEN
        RAISE EXCEPTION 'could not extend file "base/16384/16397": No space left on device' USING ERRCODE = 'disk_full', HINT = 'Check free disk space.';
      END IF; RETURN new; END $$`);
  await dualWrite.up(room.dualWrite(), room.bench.context());
  await room.query(
    'CREATE TRIGGER extend BEFORE UPDATE ON public.users FOR EACH ROW WHEN (old.id = 175) EXECUTE FUNCTION public.extend()',
  );
  const full = {
    code: 'StatementFailed',
    retry: true,
    message: expect.stringContaining('No space left on device'),
    hint: 'Check free disk space.',
  };
  for (const _ of ['first', 'again']) {
    await expect(
      backfill.up(room.backfill({ ...CHUNKS, maxRowErrors: 300 }), room.bench.context()),
    ).rejects.toMatchObject(full);
    expect(
      await room.value(
        'SELECT count(*) FROM public.users WHERE given_name IS NULL AND full_name IS NOT NULL AND id <= 150',
      ),
    ).toBe('0');
    expect(await room.value('SELECT count(*) FROM public.users WHERE given_name IS NOT NULL AND id > 150')).toBe('0');
    expect(await room.value('SELECT count(*) FROM switchback.row_errors')).toBe('0');
  }
  await room.query('UPDATE public.disk SET full_up = false');
  expect((await backfill.up(room.backfill(CHUNKS), room.bench.context())).note).toContain('300 rows changed');
  expect((await verify.up(room.verify({ onMismatch: 'fail' }), room.bench.context())).note).toContain('0 of 300');
});
