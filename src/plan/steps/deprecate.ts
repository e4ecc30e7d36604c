import { z } from 'zod';
import { stepFields } from '../step.ts';
import { dateOrInstant, version } from '../values.ts';

/** Records deprecation and sunset of an interface (RFC 9745, RFC 8594). */
export const deprecate = z.strictObject({
  ...stepFields,
  uses: z.literal('deprecate'),
  interface: z.string().min(1),
  version,
  at: dateOrInstant,
  sunset: dateOrInstant,
  link: z.url().optional(),
});
