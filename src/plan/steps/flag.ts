import { z } from 'zod';
import { stepFields } from '../step.ts';

export const percent = z.number().min(0).max(100);
export const STAGES = ['off', 'dual-write', 'shadow', 'live', 'ramp-down', 'complete'] as const;

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
  })
  .refine(
    (step) => [step.enabled, step.percent, step.variant, step.stage].filter((x) => x !== undefined).length === 1,
    {
      error: 'exactly one of `enabled`, `percent`, `variant` and `stage`',
    },
  );
