import { z } from 'zod';
import { chunk, stepFields, throttle } from '../step.ts';
import { identifier, label, sqlText } from '../values.ts';

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
    of: label.optional(),
    database: label.optional(),
    schema: identifier.default('public'),
    table: identifier.optional(),
    expect: z.record(identifier, sqlText).optional(),
    where: sqlText.optional(),
    left: side.optional(),
    right: side.optional(),
    onMismatch: z.enum(['repair', 'fail', 'hold']).default('repair'),
    maxRounds: z.int().min(1).max(20).default(3),
    showValues: z.boolean().default(false),
    aggregates: z
      .array(
        z.strictObject({
          sum: sqlText.optional(),
          count: sqlText.optional(),
          min: sqlText.optional(),
          max: sqlText.optional(),
          by: sqlText.optional(),
        }),
      )
      .default([]),
    chunk: chunk.prefault({ rows: 50_000 }),
    throttle: throttle.prefault({}),
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
