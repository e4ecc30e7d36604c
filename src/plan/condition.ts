import { z } from 'zod';
import { count, duration, httpUrl, identifier, label, sqlText, version } from './values.ts';

const bounds = {
  max: z.number().optional(),
  min: z.number().optional(),
  equals: z.union([z.number(), z.string(), z.boolean(), z.null()]).optional(),
};
/** What a condition may look at; a condition has exactly one of these. */
export const conditionSources = {
  /** A query with one row of one column. */
  sql: z.strictObject({ database: label, query: sqlText, ...bounds }),
  /** An instant query (PromQL) that gives one sample. */
  prometheus: z.strictObject({ query: z.string().min(1), ...bounds }),
  /** A GET request: status, and the body against a JSON Schema. */
  http: z.strictObject({
    url: httpUrl,
    status: z.int().min(100).max(599).default(200),
    schema: z.record(z.string(), z.unknown()).optional(),
    path: z.string().optional().meta({ description: 'JSON pointer (RFC 6901) to the value that the bounds apply to.' }),
    ...bounds,
  }),
  /** How often clients have evaluated a flag, as Unleash counts it. */
  flagUsage: z.strictObject({
    flag: z.string().min(1),
    environment: z
      .string()
      .min(1)
      .optional()
      .meta({ description: 'Left out, it is that of the flag in `spec.flags`.' }),
    enabled: z.boolean().optional().meta({ description: 'Only evaluations that were on, or off.' }),
    variant: z.string().min(1).optional().meta({ description: 'Only evaluations that gave this variant.' }),
    during: duration
      .default('1h')
      .meta({ description: 'How far back, 47h at most; Unleash counts by hours of the clock.' }),
    ...bounds,
  }),
  compatible: z.strictObject({
    interface: z.string().optional(),
    live: z.record(z.string(), z.array(version)).optional(),
  }),
  catalog: z.strictObject({
    database: label,
    schema: identifier.default('public'),
    table: identifier.optional(),
    column: identifier.optional(),
    exists: z.boolean().default(true),
    digest: z.string().optional(),
  }),
  replicaLag: z.strictObject({ database: label, max: duration }),
  longTransactions: z.strictObject({ database: label, maxAge: duration, max: count.default(0) }),
};
export type ConditionSource = keyof typeof conditionSources;
export const CONDITION_SOURCES = Object.keys(conditionSources) as ConditionSource[];

const fields = {
  name: z.string().min(1).max(200),
  ...(Object.fromEntries(
    Object.entries(conditionSources).map(([key, schema]) => [key, schema.optional()]),
  ) as unknown as { [K in ConditionSource]: z.ZodOptional<(typeof conditionSources)[K]> }),
};
/** For step kinds that are themselves a condition (`check`). */
export const conditionFields = fields;

export const exactlyOneSource = (value: object): boolean =>
  CONDITION_SOURCES.filter((key) => (value as Record<string, unknown>)[key] !== undefined).length === 1;
export const ONE_SOURCE = `exactly one of ${CONDITION_SOURCES.join(', ')}`;

export const condition = z.strictObject(fields).refine(exactlyOneSource, { error: ONE_SOURCE });
export type Condition = z.output<typeof condition>;
