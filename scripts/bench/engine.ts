import type { PlanInput } from '../../src/plan/index.ts';
import { atMost, type Benchmark, timedMs } from './benchmark.ts';
import { type BareWorker, bareWorker, type OurPlace, ourWorker } from './bench-worker.ts';

const STEPS = 50;
const MANY = 200;
/** Steps of a small migration; a bare workflow calls as many activities. */
const SMALL_STEPS = 3;

export type Phases = PlanInput['spec']['phases'];
export const planOf = (name: string, phases: Phases): PlanInput => ({
  apiVersion: 'switchback/v1',
  kind: 'Migration',
  metadata: { name, version: 1, owner: 'bench' },
  spec: { summary: `benchmark ${name}`, risk: 'low', phases },
});

/** A phase of `check` steps, one after another, each true at once. */
const checks = (count: number): Phases => [
  {
    name: 'checks',
    steps: Array.from({ length: count }, (_, at) => ({
      id: `check-${at}`,
      uses: 'check' as const,
      name: 'true at once',
      ...(at > 0 && { needs: [`check-${at - 1}`] }),
      sql: { database: 'app', query: 'SELECT 1', min: 1 },
    })),
  },
];

async function migrate({ switchback }: OurPlace, name: string, steps: number): Promise<void> {
  const handle = await switchback.start(planOf(name, checks(steps)), { requestedBy: 'bench' });
  await handle.result();
}
const sequence = ({ client, taskQueue }: BareWorker, name: string, activities: number): Promise<unknown> =>
  client.workflow.execute('bareSequence', { taskQueue, workflowId: name, args: [activities] });

/** Both workers, for the time of a benchmark. */
async function bothWorkers(place: Parameters<Benchmark['prepare']>[0]) {
  const [ours, bare] = [await ourWorker(place), await bareWorker(place)];
  return {
    ours,
    bare,
    close: async () => {
      await ours[Symbol.asyncDispose]();
      await bare[Symbol.asyncDispose]();
    },
  };
}

export const STEP_OVERHEAD: Benchmark = {
  name: 'step-overhead',
  ours: `a migration of ${STEPS} check steps in sequence`,
  reference: `a bare workflow of ${STEPS} activities in sequence`,
  unit: 'ms',
  target: atMost(1.3),
  turns: 5,
  async prepare(place) {
    const { ours, bare, close } = await bothWorkers(place);
    // The first run of each loads code and connections.
    await migrate(ours, 'warm', 2);
    await sequence(bare, `${bare.taskQueue}-warm`, 2);
    return {
      turn: async (number) => ({
        ours: await timedMs(() => migrate(ours, `steps-${number}`, STEPS)),
        reference: await timedMs(() => sequence(bare, `${bare.taskQueue}-${number}`, STEPS)),
      }),
      close,
    };
  },
};

export const MANY_AT_ONCE: Benchmark = {
  name: 'many',
  ours: `${MANY} migrations of ${SMALL_STEPS} steps at once on one worker`,
  reference: `${MANY} bare workflows of ${SMALL_STEPS} activities`,
  unit: 'ms',
  target: atMost(1.5),
  turns: 3,
  async prepare(place) {
    const { ours, bare, close } = await bothWorkers(place);
    const all = (one: (at: number) => Promise<unknown>): Promise<unknown> =>
      Promise.all(Array.from({ length: MANY }, (_, at) => one(at)));
    await migrate(ours, 'warm', 2);
    await sequence(bare, `${bare.taskQueue}-warm`, 2);
    return {
      turn: async (number) => ({
        ours: await timedMs(() => all((at) => migrate(ours, `many-${number}-${at}`, SMALL_STEPS))),
        reference: await timedMs(() => all((at) => sequence(bare, `${bare.taskQueue}-${number}-${at}`, SMALL_STEPS))),
      }),
      close,
    };
  },
};
