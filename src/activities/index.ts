import type { Kind } from '../plan/index.ts';
import { createAudit } from './audit.ts';
import { backfill } from './backfill.ts';
import { check } from './check.ts';
import { ddl } from './ddl.ts';
import { createDeprecations, deprecate } from './deprecate.ts';
import type { Deps } from './deps.ts';
import { createDropDue, drop } from './drop.ts';
import { dualWrite } from './dual-write.ts';
import type { Effect } from './effect.ts';
import { flag } from './flag.ts';
import { createLifecycle } from './lifecycle.ts';
import { createNotification } from './notification.ts';
import { createQuestions } from './questions.ts';
import { createRelease } from './release.ts';
import { retire } from './retire.ts';
import { rollout } from './rollout.ts';
import { runEffect } from './run-effect.ts';
import { createStopExposure } from './stop-exposure.ts';
import { createLiveCheck } from './live-check.ts';
import { untilUnleash } from './until-unleash.ts';
import { verify } from './verify.ts';

/** Every kind that acts through an activity, by the name that `uses` takes; the activity's type is the same word. */
const effects = {
  ddl,
  'dual-write': dualWrite,
  backfill,
  verify,
  flag: untilUnleash(flag),
  rollout: untilUnleash(rollout),
  check,
  deprecate,
  retire,
  drop,
} satisfies {
  [K in Kind]?: Effect<K>;
};

/** All activities of the worker, made once with what they need from outside. */
export function createActivities(deps: Deps) {
  return {
    ...createLifecycle(deps),
    ...createQuestions(deps),
    ...createLiveCheck(deps),
    ...createRelease(deps),
    ...createDropDue(deps),
    ...createDeprecations(deps),
    ...createAudit(deps),
    ...createNotification(deps),
    ...createStopExposure(deps),
    ...Object.fromEntries(
      Object.entries(effects).map(([kind, effect]) => [kind, runEffect(effect as unknown as Effect<Kind>, deps)]),
    ),
  };
}
export type Activities = ReturnType<typeof createLifecycle> &
  ReturnType<typeof createQuestions> &
  ReturnType<typeof createLiveCheck> &
  ReturnType<typeof createRelease> &
  ReturnType<typeof createDropDue> &
  ReturnType<typeof createDeprecations> &
  ReturnType<typeof createAudit> &
  ReturnType<typeof createNotification> &
  ReturnType<typeof createStopExposure>;
