import { z } from 'zod';
import { stepFields } from '../step.ts';

export const percent = z.number().min(0).max(100);
export const STAGES = ['off', 'dual-write', 'shadow', 'live', 'ramp-down', 'complete'] as const;

/** Sets a flag's state. Undone by restoring the whole state captured before. */
export const flag = z
  .strictObject({
    ...stepFields,
    uses: z.literal('flag'),
    flag: z.string().min(1).max(100),
    enabled: z.boolean().optional(),
    percent: percent.optional(),
    variant: z.strictObject({ name: z.string().min(1), percent }).optional(),
    stage: z.enum(STAGES).optional(),
  })
  .refine(
    (step) => [step.enabled, step.percent, step.variant, step.stage].filter((x) => x !== undefined).length === 1,
    {
      error: 'exactly one of `enabled`, `percent`, `variant` and `stage`',
    },
  );
