import { expect, onTestFinished, test } from 'vitest';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { AUDIT, type DataRoom, dataRoom, effects, users } from './room.ts';

const { dualWrite, backfill } = effects;
const inStep = `SELECT count(*) FROM public.users WHERE given_name IS DISTINCT FROM split_part(full_name, ' ', 1)`;
const updatedOnce = `SELECT count(*) = (SELECT count(*) FROM public.users) AND bool_and(times = 1)
  FROM (SELECT id, sum(times) AS times FROM public.audit GROUP BY id) a`;

const small = { chunk: { rows: 100, fixed: true } };
/** With triggers in place, and every update counted. */
const prepared = async (rows: number): Promise<DataRoom> => {
  const room = await dataRoom(`${users(rows)}; ${AUDIT}`);
  await dualWrite.up(room.dualWrite(), room.bench.context());
  return room;
};
const interruptedAfter = (room: DataRoom, reports: number) => {
  const stop = new AbortController();
  const context = room.bench.context({ signal: stop.signal });
  let count = 0;
  return { ...context, report: () => void (++count >= reports && stop.abort(new Error('interrupted'))) };
};

test('every row once, with progress, lineage and nothing left behind', async () => {
  const room = await prepared(3_000);
  const progress: unknown[] = [];
  const result = await backfill.up(room.backfill(small), {
    ...room.bench.context(),
    report: ({ progress: at }) => progress.push(at),
  });
  expect(result).toEqual({
    note: '3,000 rows changed',
    progress: { done: 3_000, total: 3_000, perSecond: null, etaSeconds: 0 },
  });
  expect(progress.at(-1)).toMatchObject({ done: 3_000, total: 3_000, etaSeconds: 0 });
  expect(await room.value(inStep)).toBe('0');
  expect(await room.value(updatedOnce)).toBe('t');
  expect(
    await room.query('SELECT object, lower_key, upper_key, rows_changed, requested_by FROM switchback.lineage'),
  ).toEqual([
    {
      object: '"public"."users"',
      lower_key: null,
      upper_key: '{3000}',
      rows_changed: '3000',
      requested_by: 'test@example.com',
    },
  ]);
  expect(
    await room.value("SELECT count(*) FROM pg_proc WHERE pronamespace = 'switchback'::regnamespace AND prokind = 'p'"),
  ).toBe('0');
  expect((await backfill.up(room.backfill(small), room.bench.context())).note).toBe('3,000 rows changed');
  expect(await room.value(updatedOnce)).toBe('t');
});

test('ranges side by side, interrupted and resumed: every row once', async () => {
  const room = await prepared(5_000);
  const step = { ...small, chunk: { rows: 50, fixed: true }, parallelism: 3, throttle: { maxRowsPerSecond: 3_000 } };
  await expect(backfill.up(room.backfill(step), interruptedAfter(room, 3))).rejects.toThrow('interrupted');
  const before = Number(await room.value('SELECT count(*) FROM public.audit'));
  expect(before).toBeGreaterThan(0);
  expect(before).toBeLessThan(5_000);
  await backfill.up(room.backfill({ ...step, throttle: {} }), room.bench.context());
  expect(await room.value(updatedOnce)).toBe('t');
  expect(await room.value('SELECT sum(rows_changed) FROM switchback.lineage')).toBe('5000');
  expect(await room.value('SELECT count(*) FROM switchback.ranges')).toBe('3');
});

test('a backend killed in the middle of a slice: resumed, every row once', async () => {
  const room = await prepared(5_000);
  const step = { ...small, throttle: { maxRowsPerSecond: 5_000 } };
  const walking = backfill.up(room.backfill(step), room.bench.context());
  walking.catch(() => undefined);
  const killed = await until(() =>
    room.value(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CALL %' AND (SELECT count(*) FROM public.audit) > 500`,
    ),
  );
  expect(killed).toBe('t');
  await expect(walking).rejects.toMatchObject({ code: 'DatabaseUnreachable', retry: true });
  await backfill.up(room.backfill(small), room.bench.context());
  expect(await room.value(updatedOnce)).toBe('t');
});

test('two workers with the same step share the work; one whose generation is over stops without writing', async () => {
  const room = await prepared(4_000);
  const step = { ...small, throttle: { maxRowsPerSecond: 8_000 } };
  const old = backfill.up(room.backfill(step), room.bench.context());
  old.catch(() => undefined);
  await until(() => room.value('SELECT true FROM public.audit HAVING count(*) > 300'));
  await room.bench.raiseFence(2);
  const after = await room.value('SELECT count(*) FROM public.audit');
  await expect(old).rejects.toMatchObject({ code: 'Fenced' });
  expect(await room.value('SELECT count(*) FROM public.audit')).toBe(after);
  const next = () =>
    backfill.up({ ...room.backfill(small), run: room.bench.run({ generation: 2 }) }, room.bench.context());
  await Promise.all([next(), next()]);
  expect(await room.value(updatedOnce)).toBe('t');
});

test('a poison row is found, named and held; what may be set aside is', async () => {
  const room = await dataRoom(
    `${users(1_000)}; UPDATE users SET note = CASE WHEN id IN (77, 500) THEN 'x' ELSE '1' END`,
  );
  const step = { set: { note: '(note::int + 1)::text' }, chunk: { rows: 100, fixed: true } };
  await expect(backfill.up(room.backfill(step), room.bench.context())).rejects.toMatchObject({
    code: 'RowErrors',
    retry: false,
    fields: { keys: '77' },
  });
  await room.query("UPDATE public.users SET note = '1' WHERE id = 77");
  const result = await backfill.up(room.backfill({ ...step, maxRowErrors: 1 }), room.bench.context());
  expect(result.note).toBe(
    '998 rows changed; 1 row set aside (switchback.row_errors); rows written meanwhile were not looked for again',
  );
  expect(await room.query('SELECT key, sql_state FROM switchback.row_errors')).toEqual([
    { key: '{500}', sql_state: '22P02' },
  ]);
  expect(await room.value("SELECT count(*) FROM public.users WHERE note = '2'")).toBe('999');
});

test('the rate is kept, and a live cap replaces the plan’s', async () => {
  const room = await prepared(600);
  const began = performance.now();
  const input = room.backfill(
    { ...small, throttle: { maxRowsPerSecond: 1 } },
    { throttle: { rowsPerSecond: 600, parallelism: null, gentle: null } },
  );
  await backfill.up(input, room.bench.context());
  const seconds = (performance.now() - began) / 1000;
  expect(seconds).toBeGreaterThan(0.8);
  expect(seconds).toBeLessThan(5);
  expect(room.bench.notes).toContain('capped at 600 rows/s');
});

test('without a dual write, rows written behind the cursor are swept up', async () => {
  const room = await dataRoom(
    `CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), a int, b int); INSERT INTO users (a) SELECT i FROM generate_series(1, 2000) i`,
  );
  const over = new AbortController();
  const client = (async () => {
    for (let i = 0; !over.signal.aborted && i < 400; i++)
      await room.query('INSERT INTO public.users (a) VALUES ($1)', [i]);
  })();
  const step = { set: { b: 'a * 2' }, where: 'b IS NULL', throttle: { maxRowsPerSecond: 5_000 } };
  await backfill.up(room.backfill(step), room.bench.context());
  over.abort();
  await client;
  expect(await room.value('SELECT count(*) FROM public.users WHERE b <> a * 2')).toBe('0');
  expect(Number(await room.value('SELECT sum(rows_changed) FROM switchback.lineage'))).toBeGreaterThan(2_000);
});

test('an insert that was open when the walk ended is waited for and swept up', async () => {
  const room = await dataRoom(
    'CREATE TABLE users (id int PRIMARY KEY, a int, b int); INSERT INTO users SELECT i, i FROM generate_series(10, 300) i',
  );
  const running = await room.database.session((session) =>
    session.transaction(async (open) => {
      await open.query('INSERT INTO public.users VALUES (1, 1)');
      const waiting = Promise.withResolvers<void>();
      const walking = backfill.up(
        room.backfill({ set: { b: 'a' }, where: 'b IS NULL' }),
        room.bench.context({ onNote: (note) => note.startsWith('waits for 1') && waiting.resolve() }),
      );
      walking.catch(waiting.reject);
      await waiting.promise;
      return { walking };
    }),
  );
  expect((await running.walking).note).toBe('292 rows changed');
  expect(await room.value('SELECT b FROM public.users WHERE id = 1')).toBe('1');
});

test('a change that leaves `where` true happens once', async () => {
  const room = await dataRoom(
    'CREATE TABLE users (id int PRIMARY KEY, a int); INSERT INTO users SELECT i, 1 FROM generate_series(1, 500) i',
  );
  const result = await backfill.up(room.backfill({ set: { a: 'a * 2' }, where: 'a > 0' }), room.bench.context());
  expect(result.note).toContain('not looked for again');
  expect(await room.value('SELECT count(*) FROM public.users WHERE a = 2')).toBe('500');
});

test('a small table without a key is changed as a whole; a large one is refused by name', async () => {
  const room = await dataRoom(
    'CREATE TABLE users (a int, b int); INSERT INTO users SELECT i FROM generate_series(1, 100) i',
  );
  expect((await backfill.up(room.backfill({ set: { b: 'a' } }), room.bench.context())).note).toBe(
    '100 rows changed in one transaction',
  );
  await room.query('INSERT INTO public.users SELECT i FROM generate_series(1, 10000) i');
  await expect(backfill.up(room.backfill({ id: 'more', set: { b: 'a' } }), room.bench.context())).rejects.toMatchObject(
    { code: 'KeyMissing', message: expect.stringContaining('"public"."users"') },
  );
});

test('undoing a half-done backfill closes it and keeps the record of what it did', async () => {
  const room = await prepared(2_000);
  await expect(
    backfill.up(room.backfill({ ...small, throttle: { maxRowsPerSecond: 1_000 } }), interruptedAfter(room, 2)),
  ).rejects.toThrow('interrupted');
  const done = Number(await room.value('SELECT count(*) FROM public.audit'));
  const undo = () => backfill.down({ ...room.backfill(small), direction: 'down' }, room.bench.context());
  expect((await undo()).note).toBe(
    `${done.toLocaleString('en-US')} rows had been changed; the columns go with the steps that made them`,
  );
  expect((await undo()).note).toContain('had been changed');
  expect(await room.value('SELECT sum(rows_changed) FROM switchback.lineage')).toBe(String(done));
  expect(await room.value("SELECT count(*) FROM switchback.ranges WHERE state = 'open'")).toBe('0');
});

test('fields without an engine, a key that is written and wrong names are refused by name', async () => {
  const room = await dataRoom(users(10));
  const attempt = (step: Record<string, unknown>) =>
    backfill.up(room.backfill({ set: { note: "'x'" }, ...step }), room.bench.context());
  await expect(attempt({ throttle: { maxReplicaLag: '2s' } })).rejects.toMatchObject({
    code: 'ConfigInvalid',
    message: expect.stringContaining('throttle.maxReplicaLag'),
  });
  await expect(attempt({ set: { id: 'id + 1' } })).rejects.toMatchObject({
    message: expect.stringContaining('part of the key'),
  });
  await expect(attempt({ set: { nope: '1' } })).rejects.toMatchObject({
    message: expect.stringContaining('no column "nope"'),
  });
  await expect(attempt({ set: { note: 'nope' } })).rejects.toMatchObject({
    code: 'StatementFailed',
    message: expect.stringContaining('set.note'),
  });
  await expect(attempt({ set: { note: '(SELECT max(note) FROM public.users)' } })).rejects.toMatchObject({
    code: 'StatementFailed',
  });
  await expect(attempt({ key: 'full_name' })).rejects.toMatchObject({ code: 'KeyMissing' });
});

/** Looks until there is an answer; each look is a query that lets the others go on. */
async function until(look: () => Promise<string | null>): Promise<string> {
  for (;;) {
    const found = await look();
    if (found !== null) return found;
  }
}

test('a backfill without a dual write finds the rows that are inserted meanwhile, behind its cursor too', async () => {
  const room = await dataRoom(users(2_000));
  const over = new AbortController();
  let at = 0;
  const client = async (): Promise<void> => {
    for (; !over.signal.aborted; at++)
      await room.query("INSERT INTO public.users (id, full_name) VALUES ($1, 'Late Comer')", [
        at % 2 === 0 ? -at - 1 : 10_000 + at,
      ]);
  };
  const clients = client();
  const running = effects.backfill.up(
    room.backfill({
      set: { given_name: "split_part(full_name, ' ', 1)" },
      where: 'given_name IS NULL AND full_name IS NOT NULL',
      chunk: { rows: 20, fixed: true },
      throttle: { maxRowsPerSecond: 4_000 },
    }),
    room.bench.context({ onNote: () => (at > 60 ? over.abort() : undefined) }),
  );
  await running.finally(() => over.abort());
  await clients;
  expect(at).toBeGreaterThan(20);
  expect(
    Number(await room.value('SELECT count(*) FROM public.users WHERE given_name IS NULL AND full_name IS NOT NULL')),
  ).toBeLessThanOrEqual(1);
});

test('the note of a large walk says what it cost, and which index made its updates dear', async () => {
  const room = await dataRoom(`${users(15_000)};
    -- A row whose name stays NULL can be HOT where its page has room.
    DELETE FROM users WHERE full_name IS NULL; CREATE INDEX by_given ON users (lower(given_name))`);
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const { note } = await backfill.up(room.backfill(), room.bench.context());
  expect(note).toMatch(
    /^12,000 rows changed; [\d,]+ bytes of WAL a row; 0 % of the updates were HOT, for by_given holds what was set$/,
  );
  const bytes = Number(/([\d,]+) bytes/.exec(note)?.[1]?.replaceAll(',', ''));
  expect(bytes).toBeGreaterThan(100);
  expect(bytes).toBeLessThan(5_000);
});

test('what would outgrow the database’s room is refused before it begins; few rows of a large table are not', async () => {
  const room = await dataRoom(users(20_000));
  const size = Number(await room.value('SELECT pg_database_size(current_database())'));
  const databases = new Databases({ app: { url: room.url, room: size + 1_000_000 } });
  onTestFinished(() => databases.close());
  const context = room.bench.context({ databases });
  const step = room.backfill({ set: { note: "'x'" } });
  await expect(backfill.up(step, context)).rejects.toMatchObject({
    code: 'RuleViolated',
    message: expect.stringMatching(/"public"."users" needs about \d+ MiB .*step-backfill-room/),
  });
  expect(await room.value('SELECT count(*) FROM public.users WHERE note IS NOT NULL')).toBe('0');
  const few = room.backfill({ id: 'few', set: { note: "'x'" }, where: 'note IS NULL AND id < 100' });
  expect((await backfill.up(few, context)).note).toBe('99 rows changed');
});
