import { z } from 'zod';
import { chunk, stepFields, throttle } from '../step.ts';
import { duration, identifier, label } from '../values.ts';

const side = z.strictObject({ database: label, schema: identifier.default('public'), table: identifier });

/** Copies a table into another service's database and keeps it in step until cut-over. */
export const move = z.strictObject({
  ...stepFields,
  uses: z.literal('move'),
  from: side,
  to: side,
  columns: z.union([z.array(identifier).min(1), z.record(identifier, z.string())]).optional(),
  chunk: chunk.prefault({}),
  throttle: throttle.prefault({}),
  cutover: z.strictObject({ flag: z.string().min(1), maxPause: duration.default('2s') }).optional(),
});
