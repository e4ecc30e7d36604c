import { verify } from '../../src/activities/verify.ts';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { upgradeLedger } from '../../src/adapters/postgres/ledger-schema.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { effectBench } from '../../test/harness/effect-context.ts';
import { atMost, type Benchmark, timedMs } from './benchmark.ts';
import { makePeople } from './people.ts';

const COLUMNS = ['full_name', 'note'];
/** The same columns, chained: each seeds the next. */
const CHAINED_HASH = `SELECT count(*), bit_xor(hashint8extended(id, coalesce(hashtextextended(full_name,
  coalesce(hashtextextended(note, 2), 2)), 1))) FROM public.users`;

export const VERIFY_ACROSS: Benchmark = {
  name: 'verify-across',
  ours: 'a verify step over two equal tables in two databases',
  reference: 'one scan of each with the chained hash of the same columns, both at the same time',
  unit: 'ms',
  target: atMost(1.5),
  turns: 7,
  prepare: async (place) => {
    const [left, right] = [await place.database(), await place.database()];
    for (const { url } of [left, right]) await (await makePeople(url, place.rows)).close();
    const bench = await effectBench(left.url);
    const databases = new Databases({ left: { url: left.url }, right: { url: right.url } });
    const both = [databases.get('left'), databases.get('right')];
    await upgradeLedger(databases.get('right'), { home: false });
    for (const database of both) await new StepLedger(database).raiseFence(bench.run());
    const side = (database: string) => ({ database, table: 'users', columns: COLUMNS });
    return {
      async turn(number) {
        const step = stepKinds.verify.parse({
          ...{ id: `across-${number}`, uses: 'verify', onMismatch: 'fail' },
          ...{ left: side('left'), right: side('right') },
        });
        return {
          ours: await timedMs(() => verify.up(bench.input(step), bench.context({ databases }))),
          reference: await timedMs(() => Promise.all(both.map((database) => database.query(CHAINED_HASH)))),
        };
      },
      async close() {
        await databases.close();
        await bench.close();
        await left[Symbol.asyncDispose]();
        await right[Symbol.asyncDispose]();
      },
    };
  },
};
