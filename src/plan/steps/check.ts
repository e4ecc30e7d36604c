import { z } from 'zod';
import { conditionFields, exactlyOneSource, ONE_SOURCE } from '../condition.ts';
import { stepFields } from '../step.ts';
import { duration } from '../values.ts';

/** Waits for a condition, with a deadline. */
export const check = z
  .strictObject({
    ...stepFields,
    uses: z.literal('check'),
    ...conditionFields,
    every: duration.default('5s').describe('How often it looks.'),
    deadline: duration.default('1h').describe('After this long the step fails.'),
  })
  .refine(exactlyOneSource, { error: ONE_SOURCE });
