import { expect, test } from 'vitest';
import { type EffectBench, effectBench } from '../harness/effect-context.ts';
import { chain, schemaOf, splitSteps } from '../data/chain.ts';
import { type DataRoom, dataRoom, effects, users } from '../data/room.ts';
import { clientOf, gateAt, until } from './gate.ts';

const { dualWrite, backfill, verify } = effects;
const CHUNKS = { chunk: { rows: 20, fixed: true } };
const names = (room: DataRoom, where: string) =>
  room.query(`SELECT id, full_name, given_name, family_name FROM public.users WHERE ${where} ORDER BY id`);

const NOOP = 'CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$';

test('must pass 6. user triggers before and after ours: right, while clients write beside the backfill', async () => {
  const room = await dataRoom(`${users(100)}; ${NOOP};
    CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.full_name := trim(new.full_name); RETURN new; END $$;
    CREATE TRIGGER tidy BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION tidy();
    CREATE TABLE seen (id bigint, full_name text, given_name text);
    CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (new.id, new.full_name, new.given_name); RETURN new; END $$;
    CREATE TRIGGER zzzz_witness AFTER INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION witness()`);
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const gate = await gateAt(room, 'old.id = 1');
  const filling = backfill.up(room.backfill(CHUNKS), room.bench.context());
  await gate.reached(filling);
  await room.query("UPDATE public.users SET full_name = '  Spaces Around ' WHERE id = 5");
  await room.query("INSERT INTO public.users (id, full_name) VALUES (500, ' Late Comer ')");
  await gate.open();
  await filling;
  expect(await names(room, 'id IN (5, 500)')).toEqual([
    { id: '5', full_name: 'Spaces Around', given_name: 'Spaces', family_name: 'Around' },
    { id: '500', full_name: 'Late Comer', given_name: 'Late', family_name: 'Comer' },
  ]);
  // Whoever comes after ours sees the new side of every row, in a chunk as in a client's write.
  expect(
    await room.value('SELECT count(DISTINCT id) FROM public.seen WHERE given_name IS NOT NULL OR full_name IS NULL'),
  ).toBe('101');
  // Names that `tidy` changed under the chunk itself were derived before it did: the verification has them follow.
  const repaired = await verify.up(room.verify(), room.bench.context());
  expect(repaired.note).toMatch(/^0 of 101 rows differ/);
  expect(
    await room.value(
      "SELECT count(*) FROM public.users WHERE given_name IS DISTINCT FROM split_part(full_name, ' ', 1) OR full_name LIKE ' %'",
    ),
  ).toBe('0');
});

test('must pass 6. a user trigger that would change a row after ours is refused by name', async () => {
  const room = await dataRoom(`${users(10)}; ${NOOP};
    CREATE TRIGGER zzzz_last BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION noop()`);
  await expect(dualWrite.up(room.dualWrite(), room.bench.context())).rejects.toMatchObject({
    code: 'StatementFailed',
    message: expect.stringContaining('trigger zzzz_last on public.users would run after ours'),
  });
});

test('must pass 16. rollback after new-only writes keeps them, with clients that write until their flag is back', async () => {
  const room = await dataRoom(
    'CREATE TABLE users (id bigint PRIMARY KEY, full_name text NOT NULL, note text); ' +
      "INSERT INTO users SELECT i, 'Ada Lovelace' || i FROM generate_series(1, 200) i; ANALYZE users",
  );
  const before = await schemaOf(room.bench);
  const migration = chain(room.bench, splitSteps());
  await migration.up();
  const over = new AbortController();
  const written = new Map<number, string>();
  const client = async (first: number): Promise<void> => {
    for (let i = 0; !over.signal.aborted; i++) {
      const id = first + 2 * (i % 150);
      await room.query(
        `INSERT INTO public.users (id, given_name, family_name) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET given_name = excluded.given_name, family_name = excluded.family_name`,
        [id, `New ${i}`, `Client${first}`],
      );
      written.set(id, `New ${i} Client${first}`);
    }
  };
  const clients = Promise.all([client(1), client(2)]);
  while (written.size < 20) await room.query('SELECT 1');
  await migration.down(['hide', 'check', 'fill']);
  over.abort();
  await clients;
  await migration.down(['sync', 'columns']);
  expect(await schemaOf(room.bench)).toEqual(before);
  const rows = new Map(
    (await room.query('SELECT id, full_name FROM public.users')).map((row) => [Number(row['id']), row['full_name']]),
  );
  expect(Object.fromEntries([...written].map(([id]) => [id, rows.get(id)]))).toEqual(Object.fromEntries(written));
});

/** The same database as a role that owns the table and is bound to its policies where those are forced on owners. */
async function asOwner(room: DataRoom): Promise<{ bench: EffectBench; end(): Promise<void> }> {
  const name = await room.value('SELECT current_database()');
  const role = `owner_${name}`;
  await room.query(`CREATE ROLE "${role}" LOGIN PASSWORD 'o'; GRANT CREATE ON DATABASE "${name}" TO "${role}"; GRANT CREATE, USAGE ON SCHEMA public TO "${role}";
    ALTER TABLE public.users OWNER TO "${role}"; DROP SCHEMA switchback CASCADE`);
  const url = new URL(room.url);
  [url.username, url.password] = [role, 'o'];
  const bench = await effectBench(url.href);
  return {
    bench,
    async end() {
      await bench.close();
      await room.query(`DROP OWNED BY "${role}" CASCADE; DROP ROLE "${role}"`);
    },
  };
}

test('must pass 17. RLS on the table: all rows or an error, never half of them, also where it is forced mid-way', async () => {
  const room = await dataRoom(
    `${users(100)}; ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY even ON users USING (id % 2 = 0)`,
  );
  const { bench, end } = await asOwner(room);
  try {
    await dualWrite.up(room.dualWrite(), bench.context());
    const gate = await gateAt(room, 'old.id = 41');
    const filling = backfill.up(room.backfill(CHUNKS), bench.context());
    await gate.reached(filling);
    const forcing = (await clientOf(room)).query('ALTER TABLE users FORCE ROW LEVEL SECURITY');
    // It gets its lock as soon as the chunk under way has let go.
    await until(
      room,
      "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE users FORCE%' AND wait_event_type = 'Lock'",
    );
    await gate.open();
    const refused = { code: 'StatementFailed', message: expect.stringContaining('row-level security') };
    await expect(filling).rejects.toMatchObject(refused);
    await forcing;
    await expect(backfill.up(room.backfill(CHUNKS), bench.context())).rejects.toMatchObject(refused);
    expect(await room.value('SELECT count(*) FROM public.users WHERE id > 60 AND given_name IS NOT NULL')).toBe('0');
    await expect(verify.up(room.verify({ onMismatch: 'fail' }), bench.context())).rejects.toMatchObject(refused);
    await room.query('ALTER TABLE public.users NO FORCE ROW LEVEL SECURITY');
    await backfill.up(room.backfill(CHUNKS), bench.context());
    expect((await verify.up(room.verify({ onMismatch: 'fail' }), bench.context())).note).toBe(
      '0 of 100 rows differ (1 pass)',
    );
  } finally {
    await end();
  }
});

test('must pass 18. a partitioned table whose rows move between partitions, before the chunk, under it and behind it', async () => {
  const room =
    await dataRoom(`CREATE TABLE users (id int, region text, full_name text, given_name text, family_name text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
    CREATE TABLE users_eu PARTITION OF users FOR VALUES IN ('eu'); CREATE TABLE users_us PARTITION OF users FOR VALUES IN ('us');
    INSERT INTO users SELECT i, CASE i % 2 WHEN 0 THEN 'eu' ELSE 'us' END, 'Ada Lovelace' || i FROM generate_series(1, 100) i; ANALYZE users`);
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const [gate, holder] = [await gateAt(room, 'old.id = 22'), await clientOf(room)];
  const filling = backfill.up(room.backfill(CHUNKS), room.bench.context());
  await gate.reached(filling);
  const move = (ids: string, more = '') =>
    `UPDATE public.users SET region = CASE region WHEN 'eu' THEN 'us' ELSE 'eu' END ${more} WHERE id IN (${ids})`;
  await room.query(move('3, 25, 26, 83'));
  await room.query(move('5, 27, 85', ", given_name = 'Jean Luc', family_name = 'Picard'"));
  await room.query(move('6, 28, 86', ", full_name = 'Old Client'"));
  // One that moves while the chunk waits for it: Postgres has the chunk begin again.
  await holder.query(`BEGIN; ${move('30')}`);
  await gate.open();
  await holder.isWaitedFor();
  await holder.query('COMMIT');
  await filling;
  await room.query(move('3, 5, 30'));
  expect(await names(room, 'id IN (3, 5, 6, 25, 27, 28, 30, 85, 86)')).toEqual([
    { id: '3', full_name: 'Ada Lovelace3', given_name: 'Ada', family_name: 'Lovelace3' },
    { id: '5', full_name: 'Jean Luc Picard', given_name: 'Jean Luc', family_name: 'Picard' },
    { id: '6', full_name: 'Old Client', given_name: 'Old', family_name: 'Client' },
    { id: '25', full_name: 'Ada Lovelace25', given_name: 'Ada', family_name: 'Lovelace25' },
    { id: '27', full_name: 'Jean Luc Picard', given_name: 'Jean Luc', family_name: 'Picard' },
    { id: '28', full_name: 'Old Client', given_name: 'Old', family_name: 'Client' },
    { id: '30', full_name: 'Ada Lovelace30', given_name: 'Ada', family_name: 'Lovelace30' },
    { id: '85', full_name: 'Jean Luc Picard', given_name: 'Jean Luc', family_name: 'Picard' },
    { id: '86', full_name: 'Old Client', given_name: 'Old', family_name: 'Client' },
  ]);
  expect((await verify.up(room.verify({ onMismatch: 'fail' }), room.bench.context())).note).toBe(
    '0 of 100 rows differ (1 pass)',
  );
});
