import { z } from 'zod';
import { chunk, stepFields, throttle } from '../step.ts';
import { duration, identifier, label } from '../values.ts';

const side = z.strictObject({ database: label, schema: identifier.default('public'), table: identifier });

/** Copies a table into another service's database and keeps it in step until cut-over. */
export const move = z.strictObject({
  ...stepFields,
  uses: z.literal('move'),
  from: side.describe('Where the table is.'),
  to: side.describe('Where it goes.'),
  columns: z
    .union([z.array(identifier).min(1), z.record(identifier, z.string())])
    .optional()
    .describe('Columns to copy, or their new names; all, unless said otherwise.'),
  chunk: chunk.prefault({}).describe('How much is copied in one transaction.'),
  throttle: throttle.prefault({}).describe('When to slow down.'),
  cutover: z
    .strictObject({ flag: z.string().min(1), maxPause: duration.default('2s') })
    .optional()
    .describe('The flag that moves readers and writers over, and how long writes may wait for it.'),
});
