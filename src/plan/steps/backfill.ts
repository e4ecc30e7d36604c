import { z } from 'zod';
import { chunk, stepFields, throttle } from '../step.ts';
import { count, identifier, label, sqlText } from '../values.ts';

/** Changes the rows of a table in throttled, checkpointed chunks: `of` a dual-write step, or `set` by itself. */
export const backfill = z
  .strictObject({
    ...stepFields,
    uses: z.literal('backfill'),
    of: label.optional(),
    database: label.optional(),
    schema: identifier.default('public'),
    table: identifier.optional(),
    set: z.record(identifier, sqlText).optional(),
    where: sqlText.optional(),
    key: z.union([identifier, z.array(identifier).min(1)]).optional(),
    chunk: chunk.prefault({}),
    parallelism: z.int().min(1).max(16).default(1),
    throttle: throttle.prefault({}),
    preserve: z.boolean().default(false),
    maxRowErrors: count.default(0),
  })
  .refine(
    (step) =>
      (step.of !== undefined) !== (step.database !== undefined && step.table !== undefined && step.set !== undefined),
    {
      error: 'either `of` (a dual-write step), or `database`, `table` and `set`',
    },
  );
