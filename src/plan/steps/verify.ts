import { z } from 'zod';
import { chunk, stepFields, throttle } from '../step.ts';
import { duration, identifier, label, sqlText } from '../values.ts';

const side = z.strictObject({
  database: label,
  schema: identifier.default('public'),
  table: identifier,
  key: z.union([identifier, z.array(identifier).min(1)]).optional(),
  columns: z.union([z.array(identifier).min(1), z.record(identifier, sqlText)]),
});

/** Compares rows while writes go on, and repairs: `of` a dual-write step, `expect` by itself, or `left` with `right`. */
export const verify = z
  .strictObject({
    ...stepFields,
    uses: z.literal('verify'),
    of: label.optional().describe('A dual-write step: both its directions are compared.'),
    database: label.optional().describe('The database, for a comparison with `expect`.'),
    schema: identifier.default('public').describe('The schema of the table.'),
    table: identifier.optional().describe('The table whose rows are compared.'),
    expect: z
      .record(identifier, sqlText)
      .optional()
      .describe('Columns, each with the expression over the row that it must equal.'),
    where: sqlText.optional().describe('Only rows for which this expression holds.'),
    left: side.optional().describe('One side of a comparison between databases.'),
    right: side.optional().describe('The other side.'),
    settle: duration
      .default('2s')
      .describe(
        'With `left` and `right`: a difference counts when both rows stay as they are for so long; longer than the copy lags.',
      ),
    onMismatch: z.enum(['repair', 'fail', 'hold']).default('repair').describe('What happens with rows that differ.'),
    maxRounds: z
      .int()
      .min(1)
      .max(20)
      .default(3)
      .describe('How often it repairs and compares again before it gives up.'),
    showValues: z
      .boolean()
      .default(false)
      .describe('Puts values of differing rows into the report; without it only keys.'),
    aggregates: z
      .array(
        z
          .strictObject({
            sum: sqlText.optional(),
            count: sqlText.optional(),
            min: sqlText.optional(),
            max: sqlText.optional(),
            by: sqlText.optional(),
          })
          .refine(({ by: _by, ...figures }) => Object.values(figures).some((figure) => figure !== undefined), {
            error: 'at least one of `sum`, `count`, `min`, `max`',
          }),
      )
      .default([])
      .describe('Figures by group that are compared first.'),
    repairs: z
      .string()
      .min(1)
      .max(100)
      .optional()
      .describe('A flag with a switch: a clean pass takes off its queue the keys that were queued before it.'),
    chunk: chunk
      .prefault({ rows: 50_000 })
      .describe('`rows`: how large the pieces are that are repaired in one transaction.'),
    throttle: throttle.prefault({}).describe('When to slow down.'),
  })
  .refine(
    (step) =>
      [
        step.of !== undefined,
        step.database !== undefined && step.table !== undefined && step.expect !== undefined,
        step.left !== undefined && step.right !== undefined,
      ].filter(Boolean).length === 1,
    { error: 'one of `of` (a dual-write step), `database` with `table` and `expect`, or `left` with `right`' },
  );
