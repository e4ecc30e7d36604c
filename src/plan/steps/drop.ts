import { z } from 'zod';
import { stepFields } from '../step.ts';
import { duration } from '../values.ts';
import { ONE_TARGET, oneTarget, retiredTarget } from './retire.ts';

/** Removes what was retired, after its retention: the point of no return. */
export const drop = z
  .strictObject({
    ...stepFields,
    uses: z.literal('drop'),
    ...retiredTarget,
    retention: duration.default('14d').describe('How long it must have been retired.'),
  })
  .refine(oneTarget, { error: ONE_TARGET });
