import { z } from 'zod';
import { stepFields } from '../step.ts';
import { dateOrInstant, duration } from '../values.ts';

/** Soak time, guarded. */
export const wait = z
  .strictObject({
    ...stepFields,
    uses: z.literal('wait'),
    for: duration.optional().describe('How long to wait.'),
    until: dateOrInstant.optional().describe('When to go on; a date means its beginning in UTC.'),
  })
  .refine((step) => (step.for === undefined) !== (step.until === undefined), {
    error: 'exactly one of `for` and `until`',
  });
