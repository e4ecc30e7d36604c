import { z } from 'zod';
import { stepFields } from '../step.ts';
import { identifier, label } from '../values.ts';

/** `column` is `table.column`; a table is named by `table`. */
export const retiredTarget = {
  database: label,
  schema: identifier.default('public'),
  column: z
    .string()
    .regex(/^[^.]+\.[^.]+$/, { error: 'a column as table.column' })
    .optional(),
  table: identifier.optional(),
};
export const oneTarget = (step: { column?: string | undefined; table?: string | undefined }): boolean =>
  (step.column === undefined) !== (step.table === undefined);
export const ONE_TARGET = 'exactly one of `column` and `table`';

/** Takes a column or table out of use so that it can come back in a moment. */
export const retire = z
  .strictObject({ ...stepFields, uses: z.literal('retire'), ...retiredTarget })
  .refine(oneTarget, { error: ONE_TARGET });
