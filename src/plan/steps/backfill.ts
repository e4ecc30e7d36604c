import { z } from 'zod';
import { chunk, stepFields, throttle } from '../step.ts';
import { count, identifier, label, sqlText } from '../values.ts';

/** Changes the rows of a table in throttled, checkpointed chunks: `of` a dual-write step, or `set` by itself. */
export const backfill = z
  .strictObject({
    ...stepFields,
    uses: z.literal('backfill'),
    of: label.optional().describe('A dual-write step: its table, its `up`, its marker.'),
    database: label.optional().describe('The database, for a backfill by itself.'),
    schema: identifier.default('public').describe('The schema of the table.'),
    table: identifier.optional().describe('The table whose rows are changed.'),
    set: z
      .record(identifier, sqlText)
      .optional()
      .describe('Columns, each with the expression over the row that gives it.'),
    where: sqlText.optional().describe('Only rows for which this expression holds.'),
    key: z
      .union([identifier, z.array(identifier).min(1)])
      .optional()
      .describe('Columns of a unique not-null index to walk along; the primary key, unless said otherwise.'),
    chunk: chunk.prefault({}).describe('How much is done in one transaction.'),
    parallelism: z.int().min(1).max(16).default(1).describe('How many key ranges are worked on side by side.'),
    throttle: throttle.prefault({}).describe('When to slow down.'),
    preserve: z.boolean().default(false).describe('Keeps before-images, so that rollback restores overwritten values.'),
    maxRowErrors: count.default(0).describe('How many rows may fail, each set aside by key, before the step is held.'),
  })
  .refine(
    (step) =>
      (step.of !== undefined) !== (step.database !== undefined && step.table !== undefined && step.set !== undefined),
    {
      error: 'either `of` (a dual-write step), or `database`, `table` and `set`',
    },
  );
