import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { Database } from '../../src/adapters/postgres/database.ts';
import { atMost, type Benchmark, timedMs } from './benchmark.ts';
import { bareQueue, type OurPlace, ourPlace, ourWorker } from './bench-worker.ts';
import { bareChild, memoryOf, ourChild } from './child-worker.ts';
import { type Phases, planOf } from './engine.ts';
import { makePeople, UP } from './people.ts';
import type { Place } from './place.ts';

const HEARTBEAT_TIMEOUT_MS = 10_000;
const RECOVERY_GRACE = 1.3;
const WAITING = 1_000;
const START_SIDE_BY_SIDE = 25;
const TIMES_AS_MANY = 10;
const LOOK_EVERY_MS = 20;
/** Twice the length of a slice. */
const SLICE_END_MS = 1_000;

const fill = (throttle: object = {}): Phases => [
  { name: 'fill', steps: [{ id: 'fill', uses: 'backfill', database: 'app', table: 'users', set: UP, throttle }] },
];

/** How many events a migration with one backfill leaves in Temporal's history. */
async function eventsOf(place: Place, rows: number): Promise<number> {
  await using ours = await ourWorker(place);
  await (await makePeople(ours.config.databases['app']?.url ?? '', rows)).close();
  const handle = await ours.switchback.start(planOf('history', fill()), { requestedBy: 'bench' });
  await handle.result();
  const { historyLength } = await ours.client.workflow.getHandle('migration/history').describe();
  return historyLength;
}

export const HISTORY: Benchmark = {
  name: 'history',
  ours: `Temporal events of a backfill of ${TIMES_AS_MANY} times the rows`,
  reference: 'of the rows',
  unit: 'events',
  target: atMost(1.2),
  turns: 1,
  prepare: async (place) => ({
    turn: async () => ({
      reference: await eventsOf(place, place.rows),
      ours: await eventsOf(place, place.rows * TIMES_AS_MANY),
    }),
  }),
};

const waiting: Phases = [{ name: 'gate', approval: 'before', steps: [{ id: 'soak', uses: 'wait', for: '100ms' }] }];

async function manyWaiting(ours: OurPlace): Promise<void> {
  const policies = { approvals: [{ risk: 'low' as const, roles: ['dba'], min: 1, notRequester: false }] };
  await sideBySide(async (at) => {
    const plan = planOf(`idle-${at}`, waiting);
    await ours.switchback.start({ ...plan, spec: { ...plan.spec, policies } }, { requestedBy: 'bench' });
  });
  for (;;) {
    const { count } = await ours.client.workflow.count(
      `TaskQueue = '${ours.config.taskQueue}' AND SwitchbackStatus = 'awaiting-approval'`,
    );
    if (count >= WAITING) return;
    await sleep(500);
  }
}

async function sideBySide(one: (at: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < WAITING; from += START_SIDE_BY_SIDE)
    await Promise.all(Array.from({ length: START_SIDE_BY_SIDE }, (_, at) => one(from + at)));
}

export const IDLE: Benchmark = {
  name: 'idle',
  ours: `memory of a worker with ${WAITING} migrations that wait for an approval`,
  reference: `of a bare one with ${WAITING} waiting workflows`,
  unit: 'MiB',
  target: atMost(1.5),
  turns: 1,
  prepare: async (place) => ({
    async turn() {
      await using ours = await ourPlace(place);
      const worker = await ourChild(ours.config);
      const queue = bareQueue();
      const bare = await bareChild(place.temporal, queue);
      const connection = await Connection.connect({ address: place.temporal });
      try {
        await manyWaiting(ours);
        const client = new Client({ connection });
        await sideBySide((at) =>
          client.workflow.start('bareWaiting', { taskQueue: queue, workflowId: `${queue}-${at}` }),
        );
        const handle = ours.switchback.handle('idle-7');
        const answeredMs = await timedMs(() => handle.approve({ by: 'bench' }));
        place.say(`idle: an approval is answered in ${answeredMs.toFixed(0)} ms (to be: under 1,000)`);
        return { ours: memoryOf(worker.pid) / 1_048_576, reference: memoryOf(bare.pid) / 1_048_576 };
      } finally {
        await connection.close();
        await worker.kill();
        await bare.kill();
      }
    },
  }),
};

/** From the kill of the worker in the middle of a backfill until another worker's first committed chunk. */
export const RECOVERY: Benchmark = {
  name: 'recovery',
  ours: 'from SIGKILL of the worker to the next committed chunk by another one',
  reference: 'the heartbeat timeout',
  unit: 'ms',
  target: atMost(RECOVERY_GRACE),
  turns: 3,
  prepare: async (place) => ({
    async turn(number) {
      await using ours = await ourPlace(place);
      const app = await makePeople(ours.config.databases['app']?.url ?? '', place.rows);
      const [first, second] = [await ourChild(ours.config), await ourChild(ours.config)];
      try {
        const slow = fill({ maxRowsPerSecond: Math.ceil(place.rows / 60) });
        // The run of the turn before is still there, on a queue that nobody polls.
        await ours.switchback.start(planOf(`recovery-${number}`, slow), { requestedBy: 'bench' });
        await nextChunk(app, await nextChunk(app, 0));
        // Whichever of the two has the step: both are killed, and a third one is there at once.
        const third = await ourChild(ours.config);
        try {
          const ms = await timedMs(async () => {
            await Promise.all([first.kill(), second.kill()]);
            // The slice that the dead worker had begun ends by itself in Postgres: its chunks don't count.
            await sleep(SLICE_END_MS);
            await nextChunk(app, await rowsDone(app));
          });
          return { ours: ms, reference: HEARTBEAT_TIMEOUT_MS };
        } finally {
          await third.kill();
        }
      } finally {
        await Promise.all([first.kill(), second.kill()]);
        await app.close();
      }
    },
  }),
};

async function rowsDone(database: Database): Promise<number> {
  const [table] = await database.query("SELECT to_regclass('switchback.ranges')::text AS name");
  if (table?.['name'] == null) return 0;
  const [row] = await database.query('SELECT coalesce(sum(rows_done), 0) AS rows FROM switchback.ranges');
  return Number(row?.['rows']);
}

/** Waits until more rows are done than `before`. */
async function nextChunk(database: Database, before: number): Promise<number> {
  for (;;) {
    const now = await rowsDone(database);
    if (now > before) return now;
    await sleep(LOOK_EVERY_MS);
  }
}
