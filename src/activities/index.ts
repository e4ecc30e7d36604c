import type { Kind } from '../plan/index.ts';
import { check } from './check.ts';
import type { Deps } from './deps.ts';
import type { Effect } from './effect.ts';
import { flag } from './flag.ts';
import { createLifecycle } from './lifecycle.ts';
import { createQuestions } from './questions.ts';
import { createRelease } from './release.ts';
import { rollout } from './rollout.ts';
import { runEffect } from './run-effect.ts';
import { createLiveCheck } from './live-check.ts';

/** Every kind that acts through an activity, by the name that `uses` takes; the activity's type is the same word. */
const effects = { flag, rollout, check } satisfies {
  [K in Kind]?: Effect<K>;
};

/** All activities of the worker, made once with what they need from outside. */
export function createActivities(deps: Deps) {
  return {
    ...createLifecycle(deps),
    ...createQuestions(deps),
    ...createLiveCheck(deps),
    ...createRelease(deps),
    ...Object.fromEntries(
      Object.entries(effects).map(([kind, effect]) => [kind, runEffect(effect as unknown as Effect<Kind>, deps)]),
    ),
  };
}
export type Activities = ReturnType<typeof createLifecycle> &
  ReturnType<typeof createQuestions> &
  ReturnType<typeof createLiveCheck> &
  ReturnType<typeof createRelease>;
