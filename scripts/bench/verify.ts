import { dualWrite } from '../../src/activities/dual-write.ts';
import { backfill } from '../../src/activities/backfill.ts';
import { verify } from '../../src/activities/verify.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { effectBench } from '../../test/harness/effect-context.ts';
import { atMost, type Benchmark, timedMs } from './benchmark.ts';
import { fillOf, SYNC, makePeople } from './people.ts';

/** A hash of the whole row, chained over its columns: each with its own seed and a value of its own for NULL. */
const CHAINED_HASH = `SELECT count(*), bit_xor(hashint8extended(id, coalesce(hashtextextended(full_name,
  coalesce(hashtextextended(given_name, coalesce(hashtextextended(family_name, 3), 3)), 2)), 1))) FROM public.users`;

export const VERIFY: Benchmark = {
  name: 'verify',
  ours: 'a verify step over a backfilled dual write',
  reference: 'one scan with the chained hash of the same columns',
  unit: 'ms',
  target: atMost(2),
  turns: 5,
  prepare: async (place) => {
    const scratch = await place.database();
    const database = await makePeople(scratch.url, place.rows);
    const bench = await effectBench(scratch.url);
    await dualWrite.up(bench.input(SYNC), bench.context());
    await backfill.up(bench.input(fillOf({ of: 'sync' }), { of: SYNC }), bench.context());
    await database.query('VACUUM ANALYZE public.users');
    return {
      async turn(number) {
        const step = stepKinds.verify.parse({ id: `verify-${number}`, uses: 'verify', of: 'sync' });
        return {
          ours: await timedMs(() => verify.up(bench.input(step, { of: SYNC }), bench.context())),
          reference: await timedMs(() => database.query(CHAINED_HASH)),
        };
      },
      async close() {
        await bench.close();
        await database.close();
        await scratch[Symbol.asyncDispose]();
      },
    };
  },
};
