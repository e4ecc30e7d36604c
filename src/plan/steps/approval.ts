import { z } from 'zod';
import { stepFields } from '../step.ts';
import { duration, label } from '../values.ts';

/** A gate inside a phase; what it doesn't say comes from the policy for the phase's risk. */
export const approval = z.strictObject({
  ...stepFields,
  uses: z.literal('approval'),
  gate: label.optional(),
  roles: z.array(z.string().min(1)).min(1).optional(),
  min: z.int().min(1).max(20).optional(),
  notRequester: z.boolean().optional(),
  verified: z.boolean().optional(),
  expiresAfter: duration.optional(),
  details: z.string().max(10_000).optional(),
});
