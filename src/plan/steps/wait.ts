import { z } from 'zod';
import { stepFields } from '../step.ts';
import { dateOrInstant, duration } from '../values.ts';

/** Soak time, guarded. */
export const wait = z
  .strictObject({ ...stepFields, uses: z.literal('wait'), for: duration.optional(), until: dateOrInstant.optional() })
  .refine((step) => (step.for === undefined) !== (step.until === undefined), {
    error: 'exactly one of `for` and `until`',
  });
