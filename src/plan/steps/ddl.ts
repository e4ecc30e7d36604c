import { z } from 'zod';
import { stepFields } from '../step.ts';
import { duration, identifier, label, sqlText } from '../values.ts';

/** Applies statements under a short lock timeout, retried. Undone from what it changed in the catalog, or by `down`. */
export const ddl = z.strictObject({
  ...stepFields,
  uses: z.literal('ddl'),
  database: label,
  schema: identifier.default('public'),
  up: sqlText,
  down: sqlText.optional(),
  lockTimeout: duration.default('1s'),
  statementTimeout: duration.optional(),
  allow: z.array(z.strictObject({ rule: z.string().min(1), reason: z.string().min(1) })).default([]),
  killBlockers: z.boolean().default(false),
});
