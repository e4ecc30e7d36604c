import { z } from 'zod';
import { stepFields } from '../step.ts';
import { identifier, label, sqlText } from '../values.ts';

const side = z.strictObject({ table: identifier, key: z.union([identifier, z.array(identifier).min(1)]) });

/** Triggers keep old and new columns in step both ways; without `down` one way, old to new. */
export const dualWrite = z
  .strictObject({
    ...stepFields,
    uses: z.literal('dual-write'),
    database: label.describe('The database, by its name in the configuration.'),
    schema: identifier.default('public').describe('The schema of the table.'),
    table: identifier.optional().describe('The table whose columns are kept in step.'),
    up: z
      .record(identifier, sqlText)
      .describe('New columns, each with the expression over the old ones that gives it.'),
    down: z
      .record(identifier, sqlText)
      .optional()
      .describe('Old columns, each with the expression over the new ones; without it nothing flows back.'),
    bothWritten: z
      .enum(['new', 'old', 'error'])
      .default('new')
      .describe('Which side counts when one statement writes both.'),
    from: side.optional().describe('The old table, for a dual write between tables.'),
    to: side.optional().describe('The new table.'),
  })
  .refine((step) => (step.table !== undefined) !== (step.from !== undefined && step.to !== undefined), {
    error: 'either `table`, or `from` and `to`',
  });
