import { expect, test } from 'vitest';
import { dataRoom, effects, SPLIT, users } from './room.ts';

const { dualWrite, backfill, verify } = effects;
/** Writes past every trigger, as a restore or a replica does. */
const behindTheTriggers = (sql: string): string =>
  `BEGIN; SET LOCAL session_replication_role = replica; ${sql}; COMMIT`;

const migrated = async (rows: number) => {
  const room = await dataRoom(users(rows));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  await backfill.up(room.backfill(), room.bench.context());
  return room;
};

test('what is in step is clean in one pass, and the second call only says so', async () => {
  const room = await migrated(1_000);
  await room.query("UPDATE public.users SET given_name = 'Jean Luc', family_name = 'Picard' WHERE id = 4");
  const clean = {
    note: '0 of 1,000 rows differ (1 pass)',
    progress: expect.objectContaining({ done: 1_000, total: 1_000 }),
  };
  expect(await verify.up(room.verify({ chunk: { rows: 100 } }), room.bench.context())).toEqual(clean);
  expect((await verify.up(room.verify(), room.bench.context())).note).toBe('0 of 1,000 rows differ (1 pass)');
});

test('rows that differ are repaired, and a whole clean pass follows', async () => {
  const room = await migrated(1_000);
  await room.query(
    behindTheTriggers(
      "UPDATE public.users SET given_name = 'wrong' WHERE id IN (1, 500); UPDATE public.users SET full_name = 'Late Writer' WHERE id = 999",
    ),
  );
  const result = await verify.up(room.verify({ chunk: { rows: 100 } }), room.bench.context());
  expect(result.note).toBe('0 of 1,000 rows differ (2 passes, 3 repaired)');
  expect(await room.query('SELECT given_name, family_name FROM public.users WHERE id = 999')).toEqual([
    { given_name: 'Late', family_name: 'Writer' },
  ]);
  expect(await room.value("SELECT sum(rows_changed) FROM switchback.lineage WHERE kind = 'repair'")).toBe('3');
});

test('a row whose new side a client wrote is never repaired in the lossy direction', async () => {
  const room = await migrated(100);
  await room.query("UPDATE public.users SET given_name = 'Jean Luc', family_name = 'Picard' WHERE id = 4");
  await room.query(behindTheTriggers("UPDATE public.users SET full_name = 'J L P' WHERE id = 4"));
  await expect(verify.up(room.verify(), room.bench.context())).rejects.toMatchObject({
    code: 'VerifyMismatch',
    retry: false,
    fields: { differing: 1, checked: 100, keys: '4' },
    hint: expect.stringContaining('rows whose new side a client wrote last are not repaired'),
  });
  expect(await room.query('SELECT full_name, given_name FROM public.users WHERE id = 4')).toEqual([
    { full_name: 'J L P', given_name: 'Jean Luc' },
  ]);
  // A person mends the row and retries.
  await room.query("UPDATE public.users SET full_name = 'Jean Luc Picard' WHERE id = 4");
  await room.query("UPDATE public.users SET given_name = 'Jean Luc', family_name = 'Picard' WHERE id = 4");
  expect((await verify.up(room.verify(), room.bench.context())).note).toContain('0 of 100 rows differ');
});

test('fail and hold report count and keys and change nothing', async () => {
  const room = await migrated(300);
  await room.query(behindTheTriggers("UPDATE public.users SET given_name = 'wrong' WHERE id % 100 = 1"));
  const message = '3 of 300 rows differ from what step "check" expects: key 1, 101, 201';
  await expect(
    verify.up(room.verify({ onMismatch: 'fail', chunk: { rows: 50 } }), room.bench.context()),
  ).rejects.toMatchObject({ code: 'VerifyMismatch', message });
  await expect(verify.up(room.verify({ onMismatch: 'hold' }), room.bench.context())).rejects.toMatchObject({
    message,
    fields: { hold: true },
  });
  expect(await room.value("SELECT count(*) FROM public.users WHERE given_name = 'wrong'")).toBe('3');
});

test('unmigrated rows count as different and are migrated by the repair', async () => {
  const room = await dataRoom(users(200));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  expect((await verify.up(room.verify(), room.bench.context())).note).toBe(
    '0 of 200 rows differ (2 passes, 200 repaired)',
  );
});

test('expressions of the plan are compared by IS DISTINCT FROM, json as text', async () => {
  const room =
    await dataRoom(`CREATE TABLE users (id int PRIMARY KEY, a numeric, b numeric(10, 2), j json, k json, n float8);
    INSERT INTO users SELECT i, i + 0.005, i + 0.01, '{"a": 1}', '{"a": 1}', 'NaN' FROM generate_series(1, 50) i;
    UPDATE users SET a = NULL, b = NULL WHERE id = 7`);
  const expectation = { b: 'a', k: 'j', n: "'NaN'::float8" };
  expect((await verify.up(room.verify({ expect: expectation }), room.bench.context())).note).toBe(
    '0 of 50 rows differ (1 pass)',
  );
  await room.query(`UPDATE public.users SET k = '{"a":1}' WHERE id = 3; UPDATE public.users SET b = NULL WHERE id = 4`);
  expect((await verify.up(room.verify({ id: 'again', expect: expectation }), room.bench.context())).note).toBe(
    '0 of 50 rows differ (2 passes, 2 repaired)',
  );
});

test('columns that a dual write keeps in step are compared, but not repaired by an expression', async () => {
  const room = await migrated(50);
  await room.query(behindTheTriggers("UPDATE public.users SET full_name = 'wrong' WHERE id = 2"));
  const step = { expect: SPLIT.down, where: 'given_name IS NOT NULL' };
  await expect(verify.up(room.verify(step), room.bench.context())).rejects.toMatchObject({
    code: 'VerifyMismatch',
    fields: { differing: 1, checked: 40 },
    hint: expect.stringContaining('column "full_name" is kept in step by the dual write "sync"'),
  });
  expect(await room.value('SELECT full_name FROM public.users WHERE id = 2')).toBe('wrong');
});

test('an interrupted pass goes on where it was', async () => {
  const room = await migrated(2_000);
  await room.query(behindTheTriggers("UPDATE public.users SET given_name = 'wrong' WHERE id = 1999"));
  const stop = new AbortController();
  const reason = new Error('interrupted');
  let reports = 0;
  const context = room.bench.context({ signal: stop.signal, onNote: () => ++reports > 5 && stop.abort(reason) });
  await expect(verify.up(room.verify({ chunk: { rows: 100 } }), context)).rejects.toBe(reason);
  const done = Number(
    await room.value("SELECT count(*) FROM switchback.ranges WHERE step = 'check' AND state = 'done'"),
  );
  expect(done).toBeGreaterThan(0);
  expect(done).toBeLessThan(20);
  expect((await verify.up(room.verify({ chunk: { rows: 100 } }), room.bench.context())).note).toBe(
    '0 of 2,000 rows differ (2 passes, 1 repaired)',
  );
});

test('writes that go on meanwhile are no false alarm', async () => {
  const room = await migrated(2_000);
  const over = new AbortController();
  const clients = [1, 2].map(async (seed) => {
    for (let i = seed; !over.signal.aborted; i += 7) {
      const id = String((i * 31) % 2_000);
      await room.query(
        i % 2 === 0
          ? "UPDATE public.users SET full_name = 'O' || full_name WHERE id = $1"
          : "UPDATE public.users SET family_name = 'N N' WHERE id = $1",
        [id],
      );
    }
  });
  const result = await verify.up(room.verify({ onMismatch: 'fail', chunk: { rows: 100 } }), room.bench.context());
  over.abort();
  await Promise.all(clients);
  expect(result.note).toBe('0 of 2,000 rows differ (1 pass)');
});

test('a derived row must be what up gives; one that a new client may have left so is told, and not overwritten', async () => {
  const room = await migrated(100);
  // Past the triggers: `down` of it is the old side, so a client of the new side could have meant it.
  await room.query(
    behindTheTriggers("UPDATE public.users SET given_name = 'Jean Luc', family_name = 'Picard4' WHERE id = 4"),
  );
  await room.query(behindTheTriggers("UPDATE public.users SET given_name = 'wrong' WHERE id = 6"));
  const failed = verify.up(room.verify(), room.bench.context());
  await expect(failed).rejects.toMatchObject({
    code: 'VerifyMismatch',
    hint: expect.stringContaining('nor those whose old side follows from the new one'),
    fields: { differing: 1, keys: '4' },
  });
  expect(await room.query('SELECT given_name FROM public.users WHERE id IN (4, 6) ORDER BY id')).toEqual([
    { given_name: 'Jean Luc' },
    { given_name: 'Ada' },
  ]);

  // NULL of the old side proves nothing: `down` makes it of any family name without a given one.
  await room.query(behindTheTriggers("UPDATE public.users SET given_name = 'Jean' WHERE id = 4"));
  await room.query(behindTheTriggers("UPDATE public.users SET family_name = 'Luc Picard4' WHERE id = 4"));
  await room.query(behindTheTriggers("UPDATE public.users SET family_name = 'left over' WHERE id = 3"));
  expect((await verify.up(room.verify({ id: 'null' }), room.bench.context())).note).toBe(
    '0 of 100 rows differ (2 passes, 1 repaired)',
  );
});

test('a down that fails on what up gives does not keep the rows from being compared by up', async () => {
  const room = await dataRoom(users(50));
  const split = { down: { full_name: '(given_name::int)::text || family_name' } };
  await dualWrite.up(room.dualWrite(split), room.bench.context());
  const of = room.dualWrite(split).step;
  await backfill.up(room.backfill({}, { of }), room.bench.context());
  expect((await verify.up(room.verify({}, { of }), room.bench.context())).note).toBe('0 of 50 rows differ (1 pass)');
  await room.query(behindTheTriggers("UPDATE public.users SET family_name = 'other' WHERE id = 6"));
  await expect(verify.up(room.verify({ id: 'again' }, { of }), room.bench.context())).rejects.toMatchObject({
    fields: { differing: 1, keys: '6' },
  });
});

test('the digests of a repair are those of the rows before and after, whoever repairs them again', async () => {
  const room = await migrated(100);
  const digests = "SELECT before_digest, after_digest FROM switchback.lineage WHERE kind = 'repair' AND step = $1";
  const repaired = async (id: string, wrong: string) => {
    await room.query(behindTheTriggers(`UPDATE public.users SET given_name = '${wrong}' WHERE id IN (7, 8)`));
    await verify.up(room.verify({ id }), room.bench.context());
    return (await room.query(digests, [id]))[0];
  };
  const first = await repaired('first', 'wrong');
  expect(first?.['before_digest']).toMatch(/^-?\d+$/);
  expect(await repaired('second', 'wrong')).toEqual(first);
  const third = await repaired('third', 'WRONG');
  expect(third?.['after_digest']).toBe(first?.['after_digest']);
  expect(third?.['before_digest']).not.toBe(first?.['before_digest']);
});

test('two workers with the same step share a pass, and each row is repaired once', async () => {
  const room = await migrated(2_000);
  await room.query(behindTheTriggers("UPDATE public.users SET given_name = 'wrong' WHERE id % 400 = 1"));
  const work = () => verify.up(room.verify({ chunk: { rows: 100 } }), room.bench.context());
  for (const result of await Promise.allSettled([work(), work()])) {
    if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'Fenced', retry: true });
  }
  expect((await work()).note).toMatch(/^0 of 2,000 rows differ \(\d+ passes, 5 repaired\)$/);
  expect(await room.value("SELECT sum(rows_changed) FROM switchback.lineage WHERE kind = 'repair'")).toBe('5');
  await room.bench.raiseFence(2);
  await expect(work()).rejects.toMatchObject({ code: 'Fenced', retry: false });
});
