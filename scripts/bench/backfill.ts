import { backfill } from '../../src/activities/backfill.ts';
import { dualWrite } from '../../src/activities/dual-write.ts';
import type { Database } from '../../src/adapters/postgres/database.ts';
import { effectBench } from '../../test/harness/effect-context.ts';
import { atLeast, type Benchmark, timedMs } from './benchmark.ts';
import { fillOf, SYNC, UP, makePeople } from './people.ts';
import type { Place } from './place.ts';

const CHUNK_ROWS = 1_000;
const FIXED = { rows: CHUNK_ROWS, fixed: true };

/** Rows a second of a `backfill` step over a fresh table. */
export async function stepRate(
  place: Place,
  options: { rows: number; parallelism?: number; dual?: boolean },
): Promise<number> {
  await using scratch = await place.database();
  await (await makePeople(scratch.url, options.rows)).close();
  const bench = await effectBench(scratch.url);
  try {
    const of = options.dual === true ? SYNC : null;
    if (of !== null) await dualWrite.up(bench.input(of), bench.context());
    const target = of === null ? { database: 'app', table: 'users', set: UP } : { of: 'sync' };
    const step = fillOf({ ...target, chunk: FIXED, parallelism: options.parallelism ?? 1 });
    const ms = await timedMs(() => backfill.up(bench.input(step, { of }), bench.context()));
    return (1_000 * options.rows) / ms;
  } finally {
    await bench.close();
  }
}

/** The loop that one would write by hand: upper key of the next rows, UPDATE of the range, cursor, commit. */
const LOOP = `CREATE PROCEDURE public.walk(slot integer, lo bigint, top bigint) LANGUAGE plpgsql AS $$
DECLARE hi bigint;
BEGIN
  LOOP
    SELECT id INTO hi FROM public.users WHERE id > lo AND id <= top ORDER BY id OFFSET ${CHUNK_ROWS - 1} LIMIT 1;
    IF hi IS NULL THEN SELECT max(id) INTO hi FROM public.users WHERE id > lo AND id <= top; END IF;
    EXIT WHEN hi IS NULL;
    UPDATE public.users SET given_name = ${UP.given_name}, family_name = ${UP.family_name} WHERE id > lo AND id <= hi;
    UPDATE public.cursors SET key = hi WHERE id = slot;
    COMMIT;
    lo := hi;
  END LOOP;
END $$`;

async function handRate(place: Place, options: { rows: number; loops: number }): Promise<number> {
  await using scratch = await place.database();
  const database = await makePeople(scratch.url, options.rows);
  try {
    await database.query('CREATE TABLE public.cursors (id integer PRIMARY KEY, key bigint)');
    await database.query('INSERT INTO public.cursors SELECT n, 0 FROM generate_series(1, $1::int) n', [options.loops]);
    await database.query(LOOP);
    const share = Math.ceil(options.rows / options.loops);
    const loops = Array.from({ length: options.loops }, (_, at) => at);
    const ms = await timedMs(() =>
      Promise.all(loops.map((at) => callLoop(database, at + 1, at * share, (at + 1) * share))),
    );
    return (1_000 * options.rows) / ms;
  } finally {
    await database.close();
  }
}

const callLoop = (database: Database, slot: number, from: number, to: number): Promise<unknown> =>
  database.session((session) => session.query(`CALL public.walk(${slot}, ${from}, ${to})`));

const HAND = 'hand-written PL/pgSQL loop, same chunks';

export const BACKFILLS: readonly Benchmark[] = [
  {
    name: 'backfill',
    ours: 'a backfill step, two text columns',
    reference: HAND,
    unit: 'rows/s',
    target: atLeast(0.95),
    turns: 5,
    prepare: async (place) => ({
      turn: async () => ({
        ours: await stepRate(place, { rows: place.rows }),
        reference: await handRate(place, { rows: place.rows, loops: 1 }),
      }),
    }),
  },
  {
    name: 'backfill-parallel',
    ours: 'the same, parallelism 2',
    reference: 'two such loops',
    unit: 'rows/s',
    target: atLeast(0.95),
    turns: 5,
    prepare: async (place) => ({
      turn: async () => ({
        ours: await stepRate(place, { rows: place.rows, parallelism: 2 }),
        reference: await handRate(place, { rows: place.rows, loops: 2 }),
      }),
    }),
  },
  {
    name: 'backfill-dual-write',
    ours: 'a backfill step with dual-write triggers in place',
    reference: 'without',
    unit: 'rows/s',
    target: atLeast(0.85),
    turns: 5,
    prepare: async (place) => ({
      turn: async () => ({
        ours: await stepRate(place, { rows: place.rows, dual: true }),
        reference: await stepRate(place, { rows: place.rows }),
      }),
    }),
  },
  {
    name: 'backfill-flat',
    ours: 'rows/s over ten times as many rows',
    reference: 'rows/s over the rows',
    unit: 'rows/s',
    target: atLeast(0.9),
    turns: 1,
    prepare: async (place) => ({
      turn: async () => {
        const reference = await stepRate(place, { rows: place.rows });
        const before = settledMemory();
        const ours = await stepRate(place, { rows: place.rows * FLAT_TIMES });
        place.say(`backfill-flat: memory ${mebibytes(before)} MiB before, ${mebibytes(settledMemory())} MiB after`);
        return { ours, reference };
      },
    }),
  },
];

const FLAT_TIMES = 10;
/** What this process really uses, once what is unused has been thrown away (node runs with --expose-gc here). */
function settledMemory(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss;
}
const mebibytes = (bytes: number): string => (bytes / 1_048_576).toFixed(0);
