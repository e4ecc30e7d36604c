import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { Database, Databases } from '../../src/adapters/postgres/database.ts';
import { lineTo } from '../harness/line.ts';
import { type AcrossRoom, acrossRoom } from './across-room.ts';

let room: AcrossRoom;
beforeAll(async () => {
  room = await acrossRoom();
});
afterAll(() => room.close());

/** Makes `people` anew on both sides. */
async function makePeople(more = ''): Promise<void> {
  const people = `DROP TABLE IF EXISTS people; CREATE TABLE people (id int PRIMARY KEY, name text, n int NOT NULL DEFAULT 0);
    INSERT INTO people SELECT i, 'Name ' || i FROM generate_series(1, 2000) i; ANALYZE people;`;
  await room.make(`${people} ${more}`, people);
}
const STEP = {
  left: { database: 'left', table: 'people', columns: ['name', 'n'] },
  right: { database: 'right', table: 'people', columns: ['name', 'n'] },
};
/** So many changes a copy is behind. */
const BEHIND = 15;

/**
 * Clients of the left side, and a copy that follows: it takes the keys in the order in which they were written, some
 * writes later, and makes the right side's row what the left side's is then.
 */
function copied(seed: number): { stop(): Promise<void> } {
  const own = {
    left: new Database('left', { url: room.urls.left }),
    right: new Database('right', { url: room.urls.right }),
  };
  const over = new AbortController();
  const queue: number[] = [];
  let state = seed;
  const random = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
  const follow = async (id: number): Promise<void> => {
    const [row] = await own.left.query('SELECT name, n FROM public.people WHERE id = $1', [id]);
    if (row === undefined) await own.right.query('DELETE FROM public.people WHERE id = $1', [id]);
    else
      await own.right.query(
        `INSERT INTO public.people VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, n = excluded.n`,
        [id, row['name'] ?? null, row['n'] ?? null],
      );
  };
  const running = (async () => {
    while (!over.signal.aborted) {
      const id = 1 + random(2_100);
      const sql = [
        'UPDATE public.people SET n = n + 1 WHERE id = $1',
        'DELETE FROM public.people WHERE id = $1',
        "INSERT INTO public.people VALUES ($1, 'again') ON CONFLICT DO NOTHING",
      ][random(3)];
      await own.left.query(sql ?? '', [id]);
      queue.push(id);
      if (queue.length > BEHIND) await follow(queue.shift() ?? 0);
    }
    for (const id of queue) await follow(id);
  })();
  return {
    async stop() {
      over.abort();
      await running;
      await own.left.close();
      await own.right.close();
    },
  };
}

test('rows that are on their way are never reported', async () => {
  const seed = Math.floor(Math.random() * 2 ** 30);
  console.log(`seed ${seed}`);
  await makePeople();
  const clients = copied(seed);
  onTestFinished(() => clients.stop());
  const notes: string[] = [];
  for (const id of ['first', 'second', 'third']) {
    const step = { ...STEP, id, onMismatch: 'fail', settle: '5s', chunk: { rows: 200, fixed: id === 'third' } };
    const result = await room.verify(step, { onNote: (note) => notes.push(note) });
    expect(result.note).toMatch(/^0 of [\d,]+ rows differ \(1 pass\)$/);
  }
  // Otherwise nothing was on its way, and nothing was tried.
  expect(notes.some((note) => note.includes('to look at again'))).toBe(true);
});

test('a row that is written all the while is hot: neither clean nor different, and never repaired', async () => {
  const spin = `CREATE PROCEDURE spin() LANGUAGE plpgsql AS $$ BEGIN
    WHILE (SELECT name FROM public.people WHERE id = 2) <> 'stop' LOOP
      UPDATE public.people SET n = n + 1 WHERE id = 1; COMMIT; END LOOP; END $$`;
  await makePeople(spin);
  await room.query('right', "UPDATE public.people SET name = 'other' WHERE id = 1500");
  const own = new Database('left', { url: room.urls.left });
  const over = new AbortController();
  const spinning = own.session(async (session) => {
    await session.query('SET synchronous_commit = off');
    await session.query('CALL public.spin()');
  });
  // The copy writes what it read some reads before.
  const copying = (async () => {
    const behind: string[] = [];
    while (!over.signal.aborted) {
      const [row] = await own.query('SELECT n FROM public.people WHERE id = 1');
      behind.push(row?.['n'] ?? '0');
      if (behind.length > BEHIND)
        await room.query('right', 'UPDATE public.people SET n = $1 WHERE id = 1', [behind.shift() ?? '0']);
      await setImmediate();
    }
  })();
  const rest = async (): Promise<void> => {
    over.abort();
    await copying;
    await own.query("UPDATE public.people SET name = 'stop' WHERE id = 2");
    await spinning;
  };
  onTestFinished(async () => {
    await rest();
    await own.close();
  });
  const counter = async (): Promise<number> =>
    Number((await own.query('SELECT n FROM public.people WHERE id = 1'))[0]?.['n']);
  const before = await counter();
  await expect(room.verify({ ...STEP, id: 'hot' })).rejects.toMatchObject({
    code: 'VerifyMismatch',
    retry: false,
    message: expect.stringMatching(
      /^1 row of step "hot" is hot, changed at every look, so that nobody can say: key 1$/,
    ),
    fields: { hot: 1, hotKeys: '1', differing: 0, hold: true },
  });
  // It looks for at least 1.75 s: some thousands on any machine.
  expect((await counter()) - before).toBeGreaterThan(1_750);
  expect(await room.query('right', "SELECT count(*) FROM switchback.lineage WHERE lower_key = '{1}'")).toEqual([
    { count: '0' },
  ]);
  await rest();
  // The writers rest, and the copy never comes: now it can be said, and mended.
  expect((await room.verify({ ...STEP, id: 'hot' })).note).toBe('0 of 2,000 rows differ (2 passes, 3 repaired)');
});

test.each(['left', 'right'] as const)('the %s side is away: tried again, and gone on with', async (side) => {
  await makePeople();
  const line = await lineTo(room.urls[side]);
  const databases = new Databases({
    left: { url: room.urls.left },
    right: { url: room.urls.right },
    [side]: { url: line.url },
  });
  onTestFinished(() => databases.close());
  const step = { ...STEP, id: `away-${side}`, chunk: { rows: 100, fixed: true } };
  let cut = false;
  const onNote = (): void => {
    if (cut) return;
    cut = true;
    line.cut();
  };
  await expect(room.verify(step, { databases, onNote })).rejects.toMatchObject({
    code: 'DatabaseUnreachable',
    retry: true,
  });
  line.mend();
  expect((await room.verify(step, { databases })).note).toBe('0 of 2,000 rows differ (1 pass)');
});

test('a standstill is told, and nothing is compared meanwhile', async () => {
  await makePeople();
  const replicas = ['postgres://127.0.0.1:1/gone'];
  const databases = new Databases({
    left: { url: room.urls.left, replicas },
    right: { url: room.urls.right, replicas },
  });
  onTestFinished(() => databases.close());
  const stop = new AbortController();
  const still = Promise.withResolvers<string>();
  const step = { ...STEP, id: 'still' };
  const running = room.verify(
    { ...step, throttle: { maxReplicaLag: '1s' } },
    { databases, signal: stop.signal, onNote: (note) => note.endsWith('stands still') && still.resolve(note) },
  );
  running.catch(still.reject);
  expect(await still.promise).toMatch(/^pass 1, replica 1 does not answer /);
  stop.abort(new Error('seen'));
  await expect(running).rejects.toThrow('seen');
  expect(await room.query('right', "SELECT state FROM switchback.ranges WHERE step = 'still'")).toEqual([
    { state: 'open' },
  ]);
  expect((await room.verify(step)).note).toBe('0 of 2,000 rows differ (1 pass)');
});
