import { z } from 'zod';
import { condition } from './condition.ts';
import { count, duration, httpUrl, label, sqlText } from './values.ts';

export const retry = z.strictObject({
  initialInterval: duration.default('1s').describe('The wait before the second try; it grows from try to try.'),
  maximumInterval: duration.default('30s').describe('The longest wait between two tries.'),
  attempts: z.int().min(1).max(1000).default(10).describe('How many tries in all.'),
});

/** The fields that every step takes, whatever its kind. */
export const stepFields = {
  id: label.describe('Unique in the plan; part of idempotency keys, trigger names and messages.'),
  needs: z
    .array(label)
    .max(100)
    .default([])
    .describe(
      'Steps of the same phase that must be done first; steps that need nothing of each other run side by side.',
    ),
  timeout: duration.optional().describe('How long the step may take in all, pauses aside.'),
  retry: retry
    .prefault({})
    .describe('How failures that may pass are tried again; counted in the ledger, not by Temporal.'),
  onFailure: z
    .enum(['rollback', 'hold'])
    .optional()
    .describe(
      'What happens when the step fails for good: `rollback` before the point of no return, `hold` after, unless said otherwise.',
    ),
  when: condition.optional().describe('The step is skipped unless this holds when its turn comes.'),
  guards: z
    .array(condition)
    .max(20)
    .default([])
    .describe('Looked at all the while the step runs; one that trips rolls back.'),
};

export const chunk = z.strictObject({
  rows: z
    .int()
    .min(1)
    .max(100_000)
    .default(1000)
    .describe('Rows of the first chunk; the size then follows `targetTime`.'),
  targetTime: duration.default('20ms').describe('How long a chunk should take.'),
  fixed: z.boolean().default(false).meta({ description: 'Keep `rows` as it is instead of steering to `targetTime`.' }),
});
export const throttle = z.strictObject({
  gentle: z.boolean().optional().describe('Gives way to everything else.'),
  maxRowsPerSecond: z.number().positive().optional().describe('A cap on the rows changed or compared per second.'),
  maxReplicaLag: duration.optional().describe('Slows down when a replica is further behind.'),
  maxLockWaits: count.optional().describe('Slows down when more sessions wait for locks of the table.'),
  maxActiveConnections: count.optional().describe('Slows down when more sessions of the database are active.'),
  sql: z
    .strictObject({ query: sqlText, max: z.number() })
    .optional()
    .describe('Slows down when the query gives more than `max`.'),
  http: z
    .strictObject({ url: httpUrl, max: z.number().optional() })
    .optional()
    .describe('Slows down when the URL answers with an error or with more than `max`.'),
});
