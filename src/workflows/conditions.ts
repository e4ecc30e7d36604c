import type { Condition } from '../plan/index.ts';
import { longActivity } from './activities.ts';
import type { Run } from './run.ts';

/** Waits, in one heartbeating activity, until all conditions hold; fails with `ConditionUnmet` at the deadline. */
export async function awaitConditions(
  run: Run,
  key: string,
  of: { phase: string; conditions: readonly Condition[]; deadlineMs: number },
): Promise<void> {
  await run.perform(key, () =>
    longActivity('awaitConditions', { run: run.ref, key, ...of }, { activityId: key, summary: `conditions of ${key}` }),
  );
}

/** Whether the condition of a step's `when` holds now. */
export async function holdsNow(
  run: Run,
  key: string,
  phase: string,
  condition: Condition,
): Promise<{ holds: boolean; reason: string }> {
  return run.perform(key, () =>
    longActivity(
      'readCondition',
      { run: run.ref, key, phase, condition },
      { activityId: key, summary: `when: ${condition.name}` },
    ),
  );
}
