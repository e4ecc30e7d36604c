import { z } from 'zod';
import { stepFields } from '../step.ts';
import { identifier, label } from '../values.ts';

/** `column` is `table.column`; a table is named by `table`. */
export const retiredTarget = {
  database: label.describe('The database, by its name in the configuration.'),
  schema: identifier.default('public').describe('The schema of the table.'),
  column: z
    .string()
    .regex(/^[^.]+\.[^.]+$/, { error: 'a column as table.column' })
    .optional()
    .describe('The column, as `table.column`.'),
  table: identifier.optional().describe('The table to take out of use.'),
};
export const oneTarget = (step: { column?: string | undefined; table?: string | undefined }): boolean =>
  (step.column === undefined) !== (step.table === undefined);
export const ONE_TARGET = 'exactly one of `column` and `table`';

/** Takes a column or table out of use so that it can come back in a moment. */
export const retire = z
  .strictObject({ ...stepFields, uses: z.literal('retire'), ...retiredTarget })
  .refine(oneTarget, { error: ONE_TARGET });
