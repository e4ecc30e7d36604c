import { z } from 'zod';
import { stepFields } from '../step.ts';
import { duration, identifier, label, sqlText } from '../values.ts';

/** Applies statements under a short lock timeout, retried. Undone from what it changed in the catalog, or by `down`. */
export const ddl = z.strictObject({
  ...stepFields,
  uses: z.literal('ddl'),
  database: label.describe('The database, by its name in the configuration.'),
  schema: identifier.default('public').describe('The schema that unqualified names mean.'),
  up: sqlText.describe('Statements that change the schema.'),
  down: sqlText.optional().describe("Statements that undo `up`, where the catalog alone can't tell how."),
  lockTimeout: duration
    .default('1s')
    .describe('How long one try may wait for a lock at most; the first tries wait less.'),
  statementTimeout: duration.optional().describe('How long one statement may take.'),
  allow: z
    .array(z.strictObject({ rule: z.string().min(1), reason: z.string().min(1) }))
    .default([])
    .describe('Rules that this step may break, each with the reason.'),
  killBlockers: z.boolean().default(false).describe('Ends the sessions that still hold the lock after a few tries.'),
});
