import { z } from 'zod';
import { stepFields } from '../step.ts';
import { duration } from '../values.ts';

const name = z.string().min(1).max(200);

/** Runs an activity on another team's task queue: its own code as a step. Undone by its own compensating activity. */
export const call = z.strictObject({
  ...stepFields,
  uses: z.literal('call'),
  taskQueue: name,
  activity: name,
  input: z.json().default(null),
  heartbeatTimeout: duration.optional(),
  compensate: z.strictObject({ activity: name, input: z.json().default(null) }).optional(),
});
