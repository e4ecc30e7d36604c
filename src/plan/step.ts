import { z } from 'zod';
import { condition } from './condition.ts';
import { count, duration, label } from './values.ts';

export const retry = z.strictObject({
  initialInterval: duration.default('1s'),
  maximumInterval: duration.default('30s'),
  attempts: z.int().min(1).max(1000).default(10),
});

/** The fields that every step takes, whatever its kind. */
export const stepFields = {
  id: label,
  needs: z.array(label).max(100).default([]),
  timeout: duration.optional(),
  retry: retry.prefault({}),
  onFailure: z.enum(['rollback', 'hold']).optional(),
  when: condition.optional(),
  guards: z.array(condition).max(20).default([]),
};

export const chunk = z.strictObject({
  rows: z.int().min(1).max(100_000).default(1000),
  targetTime: duration.default('20ms'),
  fixed: z.boolean().default(false).meta({ description: 'Keep `rows` as it is instead of steering to `targetTime`.' }),
});
export const throttle = z.strictObject({
  gentle: z.boolean().optional(),
  maxRowsPerSecond: z.number().positive().optional(),
  maxReplicaLag: duration.optional(),
  maxLockWaits: count.optional(),
  maxActiveConnections: count.optional(),
  sql: z.strictObject({ query: z.string().min(1), max: z.number() }).optional(),
  http: z.strictObject({ url: z.url(), max: z.number().optional() }).optional(),
});
