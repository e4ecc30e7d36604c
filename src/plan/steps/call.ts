import { z } from 'zod';
import { stepFields } from '../step.ts';
import { duration } from '../values.ts';

const name = z.string().min(1).max(200);

/** Runs an activity on another team's task queue: its own code as a step. Undone by its own compensating activity. */
export const call = z.strictObject({
  ...stepFields,
  uses: z.literal('call'),
  taskQueue: name.describe("The other team's Temporal task queue."),
  activity: name.describe("The activity's type."),
  input: z.json().default(null).describe('Handed to the activity as it is.'),
  heartbeatTimeout: duration.optional().describe('The activity must heartbeat at least this often.'),
  compensate: z
    .strictObject({ activity: name, input: z.json().default(null) })
    .optional()
    .describe('The activity that undoes it; also run when the outcome is unknown.'),
});
