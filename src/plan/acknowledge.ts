import { z } from 'zod';
import { count, duration } from './values.ts';

/** How a step waits until the service instances say that they act on what it changed. */
export const acknowledge = z
  .strictObject({
    required: z
      .union([z.literal('all'), count])
      .default('all')
      .meta({
        description:
          'How many instances there must be: `all` that are live, at least one; or at least so many. All live ones must act on it in any case.',
      }),
    timeout: duration.default('5m'),
  })
  .optional()
  .describe('Waits until service instances say that they act on the change.');
export type Acknowledge = NonNullable<z.output<typeof acknowledge>>;
