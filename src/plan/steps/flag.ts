import { z } from 'zod';
import { acknowledge } from '../acknowledge.ts';
import { STAGES } from '../stages.ts';
import { stepFields } from '../step.ts';
import { label } from '../values.ts';

export const percent = z.number().min(0).max(100);
/** For steps that bring a path to a stage: what keeps the old path's data in step while only the new one is written. */
export const keptInStepBy = label
  .optional()
  .describe(
    'The dual-write step (with `down`) that keeps old and new in step: then the way back from `complete` is open.',
  );

/** Sets a flag's state. Undone by restoring the whole state captured before. */
export const flag = z
  .strictObject({
    ...stepFields,
    uses: z.literal('flag'),
    flag: z.string().min(1).max(100).describe("The flag's name in Unleash."),
    enabled: z.boolean().optional().describe('On or off, for everyone.'),
    percent: percent.optional().describe('The share of users who see it.'),
    variant: z
      .strictObject({ name: z.string().min(1), percent })
      .optional()
      .describe('A variant and its share.'),
    stage: z.enum(STAGES).optional().describe('The stage of a read and write path.'),
    of: keptInStepBy,
    acknowledge,
  })
  .refine(
    (step) => [step.enabled, step.percent, step.variant, step.stage].filter((x) => x !== undefined).length === 1,
    {
      error: 'exactly one of `enabled`, `percent`, `variant` and `stage`',
    },
  );
