import { z } from 'zod';
import { stepFields } from '../step.ts';
import { identifier, label, sqlText } from '../values.ts';

const side = z.strictObject({ table: identifier, key: z.union([identifier, z.array(identifier).min(1)]) });

/** Triggers keep old and new columns in step both ways; without `down` one way, old to new. */
export const dualWrite = z
  .strictObject({
    ...stepFields,
    uses: z.literal('dual-write'),
    database: label,
    schema: identifier.default('public'),
    table: identifier.optional(),
    up: z.record(identifier, sqlText),
    down: z.record(identifier, sqlText).optional(),
    bothWritten: z.enum(['new', 'old', 'error']).default('new'),
    from: side.optional(),
    to: side.optional(),
  })
  .refine((step) => (step.table !== undefined) !== (step.from !== undefined && step.to !== undefined), {
    error: 'either `table`, or `from` and `to`',
  });
