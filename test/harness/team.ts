import { NativeConnection, Worker } from '@temporalio/worker';
import { ApplicationFailure } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import { onTestFinished } from 'vitest';
import type { CallInput } from '../../src/workflows/steps/call.ts';
import { servers } from './servers.ts';

/** Another team's worker: its activities journal their calls, and fail or block when told to. */
export interface Team {
  taskQueue: string;
  /** `idempotencyKey`s in the order in which calls came. */
  calls: string[];
  /** Names of activities that fail at each call, until removed. */
  failing: Set<string>;
  /** Names of activities that run until cancelled or removed, heartbeating. */
  blocking: Set<string>;
  /** Resolves when an activity has been called so often in all. */
  called(times: number): Promise<void>;
}

const HEARTBEAT_EVERY_MS = 100;

export async function startTeam(taskQueue: string): Promise<Team> {
  const waiters: { times: number; done: () => void }[] = [];
  const team: Team = {
    taskQueue,
    calls: [],
    failing: new Set(),
    blocking: new Set(),
    called: (times) =>
      team.calls.length >= times ? Promise.resolve() : new Promise((done) => void waiters.push({ times, done })),
  };
  const act =
    (name: string) =>
    async (call: CallInput): Promise<string> => {
      team.calls.push(call.idempotencyKey);
      for (const waiter of waiters) if (team.calls.length >= waiter.times) waiter.done();
      if (team.failing.has(name)) throw ApplicationFailure.nonRetryable(`${name} is told to fail`);
      while (team.blocking.has(name)) {
        Context.current().heartbeat();
        await Context.current().sleep(HEARTBEAT_EVERY_MS);
      }
      return `did ${call.step}`;
    };
  /** Fails as if it were one of ours, at length. */
  const strange = async (call: CallInput): Promise<never> => {
    team.calls.push(call.idempotencyKey);
    const message = 'x'.repeat(50_000);
    throw ApplicationFailure.create({
      message,
      type: 'Fenced',
      nonRetryable: true,
      details: [{ hint: {}, fields: 1 }],
    });
  };
  const connection = await NativeConnection.connect({ address: servers().temporal.address });
  const worker = await Worker.create({
    connection,
    taskQueue,
    activities: { act: act('act'), other: act('other'), undo: act('undo'), strange },
    maxHeartbeatThrottleInterval: '100ms',
  });
  const ended = worker.run();
  onTestFinished(async () => {
    team.blocking.clear();
    worker.shutdown();
    await ended;
    await connection.close();
  });
  return team;
}
