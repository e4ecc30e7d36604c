import { z } from 'zod';
import { acknowledge } from '../acknowledge.ts';
import { metric } from '../metric.ts';
import { STAGES } from '../stages.ts';
import { stepFields } from '../step.ts';
import { count, duration } from '../values.ts';
import { keptInStepBy, percent } from './flag.ts';

/** Raises exposure step by step under gates. Undone by restoring the flag's whole state captured before. */
export const rollout = z.strictObject({
  ...stepFields,
  uses: z.literal('rollout'),
  flag: z.string().min(1).max(100).describe("The flag's name in Unleash."),
  ramp: z
    .array(
      z
        .strictObject({ percent: percent.optional(), stage: z.enum(STAGES).optional(), bake: duration.default('0s') })
        .refine((stop) => (stop.percent === undefined) !== (stop.stage === undefined), {
          error: 'exactly one of `percent` and `stage`',
        }),
    )
    .min(1)
    .max(100)
    .describe('Stops of the ramp, in order; each is kept for `bake` before the next.'),
  analysis: z
    .strictObject({
      alpha: z.number().gt(0).max(0.5).default(0.05),
      interval: duration.default('1m'),
      minSamples: count.default(500),
      onNoData: z.enum(['pause', 'fail']).default('pause'),
      deadline: duration.optional().meta({
        description:
          'How long after its bake a stop may look for the evidence that passes it; then a person decides. Without it as long again as the bake, and at least 10 intervals.',
      }),
      metrics: z.array(metric).min(1).max(20),
    })
    .optional()
    .describe('Statistical gates: metrics of the new path against the old.'),
  acknowledge,
  of: keptInStepBy,
  exposureOnFailure: z
    .strictObject({ percent })
    .optional()
    .describe('Exposure to go to at once when a gate fails, before the rollback.'),
});
