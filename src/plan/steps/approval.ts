import { z } from 'zod';
import { stepFields } from '../step.ts';
import { duration, label } from '../values.ts';

/** A gate inside a phase; what it doesn't say comes from the policy for the phase's risk. */
export const approval = z.strictObject({
  ...stepFields,
  uses: z.literal('approval'),
  gate: label.optional().describe("The gate's name in its phase; the step's id, unless said otherwise."),
  roles: z.array(z.string().min(1)).min(1).optional().describe('Roles of which an approver must hold one.'),
  min: z.int().min(1).max(20).optional().describe('How many different people must approve.'),
  notRequester: z.boolean().optional().describe('Whoever started the migration may not approve.'),
  verified: z.boolean().optional().describe('Only signed approvals count.'),
  expiresAfter: duration.optional().describe('After this long without a decision the run is held.'),
  details: z.string().max(10_000).optional().describe('Markdown for the approver.'),
});
