import { z } from 'zod';
import { stepFields } from '../step.ts';
import { count, duration } from '../values.ts';
import { ONE_TARGET, oneTarget, retiredTarget } from './retire.ts';

/** Removes what was retired, after its retention: the point of no return. */
export const drop = z
  .strictObject({
    ...stepFields,
    uses: z.literal('drop'),
    ...retiredTarget,
    retention: duration.default('14d').describe('How long it must have been retired.'),
    acceptedLoss: count
      .default(0)
      .describe('How many rows at most may lose a value that nothing else keeps; each row of a table counts.'),
  })
  .refine(oneTarget, { error: ONE_TARGET });
