import { z } from 'zod';
import { metric } from '../metric.ts';
import { stepFields } from '../step.ts';
import { count, duration } from '../values.ts';
import { percent, STAGES } from './flag.ts';

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
      metrics: z.array(metric).min(1).max(20),
    })
    .optional()
    .describe('Statistical gates: metrics of the new path against the old.'),
  acknowledge: z
    .strictObject({ required: z.union([z.literal('all'), count]).default('all'), timeout: duration.default('5m') })
    .optional()
    .describe('Waits until service instances say that they act on each stop.'),
  exposureOnFailure: z
    .strictObject({ percent })
    .optional()
    .describe('Exposure to go to at once when a gate fails, before the rollback.'),
});
