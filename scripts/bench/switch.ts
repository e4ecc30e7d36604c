import pg from 'pg';
import { InMemStorageProvider, Unleash } from 'unleash-client';
import { Database } from '../../src/adapters/postgres/database.ts';
import { upgradeLedger } from '../../src/adapters/postgres/ledger-schema.ts';
import { createSwitch, type ReadWriteSwitch, type Stage } from '../../src/switch/index.ts';
import { atMost, type Benchmark, median } from './benchmark.ts';
import type { Place } from './place.ts';

const CALLS = 20_000;
const PAIRS = 7;
/** What a switched call may cost more than a direct one. */
const BUDGET_US = 5;
const ONE_SIDE: readonly Stage[] = ['off', 'complete'];

type Call = (id: string) => Promise<unknown>;
const side = { read: async (id: string) => id, write: async (id: string) => id };
/** As many keys as a busy instance sees in a minute. */
const IDS = Array.from({ length: 1_000 }, (_, n) => `user-${n}`);

async function usPerCall(call: Call): Promise<number> {
  const began = performance.now();
  for (let n = 0; n < CALLS; n++) await call(IDS[n % IDS.length] as string);
  return ((performance.now() - began) * 1_000) / CALLS;
}

/** Microseconds that `ours` costs more than `direct`: each measured in turns with the other. */
async function overheadUs(ours: Call, direct: Call): Promise<number> {
  const differences: number[] = [];
  for (let pair = 0; pair < PAIRS; pair++) {
    const reference = await usPerCall(direct);
    differences.push((await usPerCall(ours)) - reference);
  }
  return median(differences);
}

/** A client of Unleash that knows one flag, for a share of the users, from its bootstrap. It counts usage as ever. */
async function clientOf(flag: string, rollout: string): Promise<Unleash> {
  const unleash = new Unleash({
    ...{ appName: 'bench', url: 'http://127.0.0.1:9/api', refreshInterval: 0 },
    storageProvider: new InMemStorageProvider(),
    bootstrap: {
      data: [
        {
          ...{ name: flag, enabled: true },
          strategies: [
            {
              name: 'flexibleRollout',
              parameters: { rollout, stickiness: 'userId', groupId: flag },
              constraints: [],
            },
          ],
        },
      ],
    },
  });
  unleash.on('error', () => undefined).on('warn', () => undefined);
  await new Promise<void>((resolve) => unleash.once('ready', resolve));
  return unleash;
}

async function switches(place: Place, stages: readonly Stage[], rollout: string) {
  const scratch = await place.database();
  const home = new Database('home', { url: scratch.url });
  await upgradeLedger(home, { home: true });
  const ledger = new pg.Pool({ connectionString: scratch.url, max: 2 });
  // A database that goes ends connections which the pool has already let go of.
  ledger.on('error', () => undefined);
  const made: ReadWriteSwitch<[string], string, [string], string>[] = [];
  const clients: Unleash[] = [];
  for (const stage of stages) {
    await home.query(
      "INSERT INTO switchback.stages (environment, flag, stage, generation, migration) VALUES ('development', $1, $1, 1, 'bench')",
      [stage],
    );
    const unleash = await clientOf(stage, rollout);
    clients.push(unleash);
    const one = createSwitch({
      ...{ ledger, unleash, service: 'bench' },
      flag: stage,
      old: side,
      new: side,
      key: (id) => id,
    });
    await one.ready();
    made.push(one);
  }
  return {
    made,
    async close() {
      await Promise.all(made.map((one) => one.close()));
      for (const client of clients) client.destroy();
      await ledger.end();
      await home.close();
      await scratch[Symbol.asyncDispose]();
    },
  };
}

const OVERHEAD: Benchmark = {
  name: 'switch-overhead',
  ours: 'what a switched call costs more than a direct one, the worst of reads and writes at off and complete',
  reference: 'the budget',
  unit: 'µs',
  target: atMost(1),
  turns: 5,
  prepare: async (place) => {
    const { made, close } = await switches(place, ONE_SIDE, '0');
    return {
      close,
      async turn() {
        const costs: number[] = [];
        for (const one of made) {
          costs.push(await overheadUs(one.read, side.read), await overheadUs(one.write, side.write));
        }
        return { ours: Math.max(...costs), reference: BUDGET_US };
      },
    };
  },
};

const ASKED: Benchmark = {
  name: 'switch-flag',
  ours: 'a read while the flag lets half of the users in',
  reference: 'asking unleash-client for the variant, then a direct read',
  unit: 'µs',
  target: null,
  turns: 5,
  prepare: async (place) => {
    const { made, close } = await switches(place, ['off'], '50');
    const unleash = await clientOf('off', '50');
    const [one] = made;
    if (one === undefined) throw new Error('there is no switch');
    const asking: Call = (userId) => {
      unleash.getVariant('off', { userId });
      return side.read(userId);
    };
    return {
      async close() {
        unleash.destroy();
        await close();
      },
      async turn(number) {
        if (number === 1) await overheadUs(one.read, asking);
        return { ours: await usPerCall(one.read), reference: await usPerCall(asking) };
      },
    };
  },
};

export const SWITCHES: readonly Benchmark[] = [OVERHEAD, ASKED];
