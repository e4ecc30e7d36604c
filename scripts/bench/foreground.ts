import pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import { backfill } from '../../src/activities/backfill.ts';
import { dualWrite } from '../../src/activities/dual-write.ts';
import { effectBench } from '../../test/harness/effect-context.ts';
import { seededRandom } from '../demo/random.ts';
import { atMost, type Benchmark, percentile, type Target, timedMs } from './benchmark.ts';
import { fillOf, makePeople, SYNC } from './people.ts';

const PER_SECOND = 300;
const SECONDS = 8;
const CLIENTS = 16;
const SEED = 7;

/**
 * Point reads and writes, half and half, each due at its own time whatever became of the others: their latencies in ms,
 * counted from when they were due.
 */
async function traffic(url: string, rows: number, over: AbortSignal): Promise<number[]> {
  const pool = new pg.Pool({ connectionString: url, max: CLIENTS });
  const random = seededRandom(SEED);
  const latencies: number[] = [];
  const open: Promise<unknown>[] = [];
  await Promise.all(Array.from({ length: CLIENTS }, () => pool.query('SELECT 1')));
  const began = performance.now();
  for (let number = 0; number < PER_SECOND * SECONDS && !over.aborted; number++) {
    const due = began + (1_000 * number) / PER_SECOND;
    await sleep(Math.max(0, due - performance.now()));
    const id = 1 + Math.floor(random() * rows);
    const request =
      number % 2 === 0
        ? pool.query('SELECT full_name FROM public.users WHERE id = $1', [id])
        : pool.query('UPDATE public.users SET note = $2 WHERE id = $1', [id, `n${number}`]);
    open.push(request.then(() => latencies.push(performance.now() - due)));
  }
  await Promise.all(open);
  await pool.end();
  return latencies;
}

/** p99 of the foreground, in ms, with a backfill beside it and without. */
const beside = (of: { name: string; words: string; throttle: object; target: Target }): Benchmark => ({
  name: of.name,
  ours: `p99 of ${PER_SECOND} point reads and writes a second beside a ${of.words}`,
  reference: 'p99 without it',
  unit: 'ms',
  target: of.target,
  turns: 3,
  prepare: async (place) => ({
    async turn() {
      await using scratch = await place.database();
      await (await makePeople(scratch.url, place.rows)).close();
      const bench = await effectBench(scratch.url);
      const never = new AbortController().signal;
      try {
        await dualWrite.up(bench.input(SYNC), bench.context());
        const alone = await traffic(scratch.url, place.rows, never);
        const filled = new AbortController();
        const over = new AbortController();
        const step = fillOf({ of: 'sync', throttle: of.throttle });
        const filling = backfill
          .up(bench.input(step, { of: SYNC }), bench.context({ signal: over.signal }))
          .catch((error: unknown) => {
            // A gentle one may take far longer than the traffic.
            if (!over.signal.aborted) throw error;
          })
          .finally(() => filled.abort());
        const measured = await traffic(scratch.url, place.rows, filled.signal);
        over.abort();
        await filling;
        return { ours: percentile(measured, 0.99), reference: percentile(alone, 0.99) };
      } finally {
        await bench.close();
      }
    },
  }),
});

export const FOREGROUND = beside({
  name: 'foreground',
  words: 'default backfill',
  throttle: {},
  target: atMost(1.5),
});
export const FOREGROUND_GENTLE = beside({
  name: 'foreground-gentle',
  words: 'gentle backfill',
  throttle: { gentle: true },
  target: atMost(1.2),
});

const UPDATES = 20_000;

export const DUAL_WRITE_COST: Benchmark = {
  name: 'dual-write-cost',
  ours: 'an UPDATE of the source column with triggers',
  reference: 'without',
  unit: 'µs',
  target: null,
  turns: 5,
  prepare: async (place) => ({
    async turn() {
      await using scratch = await place.database();
      const database = await makePeople(scratch.url, UPDATES);
      const bench = await effectBench(scratch.url);
      const loop = `DO $$ BEGIN FOR n IN 1..${UPDATES} LOOP
        UPDATE public.users SET full_name = 'New' || n || ' Name' WHERE id = n; END LOOP; END $$`;
      try {
        const without = await timedMs(() => database.query(loop));
        await database.session((session) => session.query('VACUUM FULL public.users'));
        await dualWrite.up(bench.input(SYNC), bench.context());
        const withTriggers = await timedMs(() => database.query(loop));
        return { ours: (1_000 * withTriggers) / UPDATES, reference: (1_000 * without) / UPDATES };
      } finally {
        await bench.close();
        await database.close();
      }
    },
  }),
};
