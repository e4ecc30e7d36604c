import { expect, test } from 'vitest';
import { seededRandom } from '../../scripts/demo/random.ts';
import type { Database, Queryable } from '../../src/adapters/postgres/database.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { Interleaving } from './interleave.ts';
import { type DataRoom, dataRoom, effects, users } from './room.ts';
import { type BothWritten, inStep, type Person, WAYS, type Way } from './sync-model.ts';

const { dualWrite, backfill, verify } = effects;

test('clients write, move, delete and insert while the backfill runs: nothing lost, no ghost, nothing unmigrated', async () => {
  const room = await dataRoom(users(4_000));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const over = new AbortController();
  const last = new Map<number, string>();
  /** Each client has rows of its own, so that the last value it wrote is the one that must be there. */
  const client = async (number: number): Promise<void> => {
    for (let i = 0; !over.signal.aborted; i++) {
      const id = 1 + ((i * 4 * 37 + number) % 4_000);
      const name = `Client${number} Write${i}`;
      const [given, family] = name.split(' ');
      if (i % 9 === 0) {
        await room.query('DELETE FROM public.users WHERE id = $1', [id]);
        last.delete(id);
      } else if (i % 9 === 1) {
        // A key that goes past the cursor or the upper bound, and comes back.
        await room.query('UPDATE public.users SET id = -id WHERE id = $1', [id]);
        await room.query('UPDATE public.users SET id = id + 100000 WHERE id = -$1::bigint', [id]);
        await room.query(
          'UPDATE public.users SET id = id + $1::bigint - 100000 + $1::bigint WHERE id = 100000 - $1::bigint',
          [id],
        );
      } else if (i % 9 === 2) {
        await room.query(
          'INSERT INTO public.users (id, given_name, family_name) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET given_name = excluded.given_name, family_name = excluded.family_name',
          [id, given ?? '', family ?? ''],
        );
        last.set(id, name);
      } else {
        const sql =
          i % 2 === 0
            ? 'UPDATE public.users SET full_name = $2 WHERE id = $1 RETURNING 1 AS one'
            : "UPDATE public.users SET given_name = split_part($2, ' ', 1), family_name = split_part($2, ' ', 2) WHERE id = $1 RETURNING 1 AS one";
        if ((await room.query(sql, [id, name])).length > 0) last.set(id, name);
      }
    }
  };
  const clients = [0, 1, 2, 3].map(client);
  await backfill.up(
    room.backfill({ chunk: { rows: 50, fixed: true }, parallelism: 2, throttle: { maxRowsPerSecond: 4_000 } }),
    room.bench.context(),
  );
  over.abort();
  await Promise.all(clients);
  expect((await verify.up(room.verify({ onMismatch: 'fail' }), room.bench.context())).note).toContain(
    'rows differ (1 pass)',
  );
  const rows = new Map(
    (await room.query('SELECT id, full_name FROM public.users')).map((row) => [Number(row['id']), row['full_name']]),
  );
  expect(last.size).toBeGreaterThan(50);
  for (const [id, name] of last) expect([id, rows.get(id)]).toEqual([id, name]);
});

/**
 * Random interleavings of clients, chunks and repairs against a model. Every run of the tests takes the same ones;
 * `SYNC_SEED=random` hunts for others, for `SYNC_SECONDS`. A failure prints its seed and what each session did:
 * `SYNC_SEED` replays it.
 */
const SEED_OF_EVERY_RUN = 20_261_121;
const SESSIONS = 4;
const EVENTS = 60;
const SEED = process.env['SYNC_SEED'];
const SECONDS = Number(process.env['SYNC_SECONDS'] ?? 20);
const ROUNDS = SEED === undefined ? 2 : Number.POSITIVE_INFINITY;
const BOTH: readonly BothWritten[] = ['new', 'old', 'error'];

test('random interleavings of clients, chunks and repairs do what the model says', async () => {
  const room = await dataRoom('SELECT 1');
  const tables = new Map<string, { table: string; marker: string }>();
  for (const way of WAYS)
    for (const both of BOTH) tables.set(`${way.name} ${both}`, await syncedTable(room, way, both));
  const seed = SEED === 'random' ? Date.now() % 2_147_483_647 : Number(SEED ?? SEED_OF_EVERY_RUN);
  const ends = Date.now() + SECONDS * 1_000;
  let runs = 0;
  await withSessions(room.database, SESSIONS, async (sessions) => {
    for (let round = 0; round < ROUNDS && (round === 0 || Date.now() < ends); round++) {
      for (const way of WAYS) {
        for (const both of BOTH) {
          runs += 1;
          const { table, marker } = tables.get(`${way.name} ${both}`) ?? { table: '', marker: '' };
          const random = seededRandom(seed + round);
          const one = new Interleaving({ way, both, table, marker, sessions, random }, new Map());
          try {
            await interleaved(room, one, { way, table, marker });
          } catch (error) {
            const log = one.log.join('\n');
            throw new Error(`SYNC_SEED=${seed + round}, ${way.name}, bothWritten ${both}:\n${log}\n${String(error)}`, {
              cause: error,
            });
          }
        }
      }
    }
  });
  console.log(`interleavings: SYNC_SEED=${seed}, ${runs} runs`);
  expect(runs).toBeGreaterThanOrEqual(WAYS.length * BOTH.length);
}, 1_800_000);

async function interleaved(
  room: DataRoom,
  one: Interleaving,
  { way, table, marker }: { way: Way; table: string; marker: string },
): Promise<void> {
  const columns = [...way.oldSide, ...way.newSide, 'note'];
  await room.database.transaction(async (session) => {
    await session.query(`SET LOCAL session_replication_role = replica; TRUNCATE ${table}`);
    for (const id of [1, 2, 3, 4, 5]) {
      const cells = Object.fromEntries(
        columns.map((name) => [name, way.oldSide.includes(name) ? (id === 3 ? null : `a b${id}`) : null]),
      );
      const given = way.oldSide.map((name) => (cells[name] === null ? 'NULL' : `'${cells[name]}'`));
      await session.query(
        `INSERT INTO ${table} (id, region, ${way.oldSide.join(', ')}) VALUES (${id}, 'eu', ${given.join(', ')})`,
      );
      one.rows.set(id, { cells, marker: null, region: 'eu' });
    }
  });
  await one.run(EVENTS);
  const found = await room.query(`SELECT * FROM ${table} ORDER BY id`);
  const rows = found.map(({ id, region, [marker]: mark, ...cells }): [number, Person] => [
    Number(id),
    { cells, marker: mark == null ? null : Number(mark), region: region ?? '' },
  ]);
  expect(rows).toEqual([...one.rows].toSorted(([left], [right]) => left - right));
  for (const [id, person] of rows)
    if (person.marker !== null) expect([id, person, inStep(way, person)]).toEqual([id, person, true]);
}

async function syncedTable(room: DataRoom, way: Way, both: BothWritten): Promise<{ table: string; marker: string }> {
  const name = `t_${WAYS.indexOf(way)}_${both}`;
  const columns = [...way.oldSide, ...way.newSide, 'note'].map((column) => `${column} text`).join(', ');
  await room.query(
    way.partitioned === true
      ? `CREATE TABLE public.${name} (id int, region text, ${columns}, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
         CREATE TABLE public.${name}_eu PARTITION OF public.${name} FOR VALUES IN ('eu');
         CREATE TABLE public.${name}_us PARTITION OF public.${name} FOR VALUES IN ('us')`
      : `CREATE TABLE public.${name} (id int PRIMARY KEY, region text, ${columns})`,
  );
  const step = stepKinds['dual-write'].parse({
    uses: 'dual-write',
    id: name.replaceAll('_', '-'),
    database: 'app',
    table: name,
    up: way.up,
    ...(way.down !== null && { down: way.down }),
    bothWritten: both,
  });
  await dualWrite.up(room.bench.input(step), room.bench.context());
  const marker = await room.value(
    `SELECT attname FROM pg_attribute WHERE attrelid = 'public.${name}'::regclass AND attname LIKE 'zz%'`,
  );
  return { table: `public.${name}`, marker: marker ?? '' };
}

/** Several sessions at once, all of them given back at the end. */
const withSessions = <T>(
  database: Database,
  count: number,
  work: (sessions: readonly Queryable[]) => Promise<T>,
): Promise<T> =>
  count === 0
    ? work([])
    : database.session((session) => withSessions(database, count - 1, (others) => work([session, ...others])));
