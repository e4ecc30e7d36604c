import { z } from 'zod';
import { stepFields } from '../step.ts';
import { dateOrInstant, version } from '../values.ts';

/** Records deprecation and sunset of an interface (RFC 9745, RFC 8594). */
export const deprecate = z.strictObject({
  ...stepFields,
  uses: z.literal('deprecate'),
  interface: z.string().min(1).describe('The interface.'),
  version,
  at: dateOrInstant.describe('Since when it is deprecated.'),
  sunset: dateOrInstant.describe('When it may go away.'),
  link: z.url().optional().describe('Where users of it read more.'),
});
