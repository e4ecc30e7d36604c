import { z } from 'zod';
import { condition } from './condition.ts';
import { stepKinds } from './steps/index.ts';
import { dateOrInstant, duration, label, risk, schemaDigest, timezone, version } from './values.ts';

/** Limits of a plan; what is over is refused. */
export const PLAN_BYTES_MAX = 512 * 1024;
export const PLAN_STEPS_MAX = 500;
export const PHASE_STEPS_MAX = 200;
export const PHASES_MAX = 100;

const service = z.strictObject({
  version: version.optional(),
  provides: z.record(z.string(), z.array(version).min(1)).default({}),
  consumes: z.record(z.string(), z.string().min(1)).default({}),
  dependsOn: z.array(label).default([]),
  contracts: z.record(z.string(), z.string().min(1)).default({}),
});
const flagDefinition = z.strictObject({
  environment: z.string().min(1).default('development'),
  project: z.string().min(1).default('default'),
  stickiness: z.string().min(1).default('default'),
  type: z.enum(['release', 'experiment', 'operational', 'kill-switch', 'permission']).default('release'),
  description: z.string().optional(),
  propagation: duration.default('15s').meta({
    description:
      "How long a change of the flag takes until every client acts on it: the refresh interval of the slowest (the default is unleash-client's own) and the longest request. A rollback waits so long after the flag, before it takes away what the new path needs.",
  }),
});
const approvalRule = z.strictObject({
  risk: risk.optional(),
  roles: z.array(z.string().min(1)).min(1),
  min: z.int().min(1).max(20).default(1),
  notRequester: z.boolean().default(false),
  verified: z.boolean().default(false),
  expiresAfter: duration.optional(),
});
const applies = z
  .array(z.enum(Object.keys(stepKinds) as [keyof typeof stepKinds, ...(keyof typeof stepKinds)[]]))
  .optional();
const allowWindow = z.strictObject({
  allow: z.string().min(1).meta({ description: 'DTSTART and RRULE of RFC 5545, a line each.' }),
  duration,
  applies,
});
const denyWindow = z.strictObject({
  deny: z.string().min(1),
  from: dateOrInstant,
  to: dateOrInstant,
  timezone: timezone.optional().meta({ description: 'Whose days `from` and `to` are; UTC, unless said otherwise.' }),
  applies,
});
const window = z.union([allowWindow, denyWindow]);

const anyStep = z.discriminatedUnion('uses', [
  stepKinds.ddl,
  stepKinds['dual-write'],
  stepKinds.backfill,
  stepKinds.verify,
  stepKinds.move,
  stepKinds.flag,
  stepKinds.rollout,
  stepKinds.check,
  stepKinds.approval,
  stepKinds.wait,
  stepKinds.call,
  stepKinds.deprecate,
  stepKinds.retire,
  stepKinds.drop,
]);
const phase = z.strictObject({
  name: label,
  risk: risk.optional(),
  preconditions: z.array(condition).max(50).default([]),
  steps: z.array(anyStep).min(1).max(PHASE_STEPS_MAX),
  exitCriteria: z.array(condition).max(50).default([]),
  guards: z.array(condition).max(20).default([]),
  soak: duration.optional(),
  approval: z.enum(['before', 'after']).optional(),
  live: z.record(z.string(), z.array(version)).optional(),
});

/** Parts of a plan that can be read by themselves. */
export const parts = { service, approvalRule, window };

/** The plan format, v1: the one source of types, validation, the editor's schema and the docs. */
export const planSchema = z.strictObject({
  apiVersion: z.literal('switchback/v1'),
  kind: z.literal('Migration'),
  metadata: z.strictObject({
    name: label,
    version: z.int().min(1),
    owner: z.string().min(1).max(200),
    labels: z.record(z.string(), z.string()).default({}),
  }),
  spec: z.strictObject({
    summary: z.string().min(1).max(500),
    requires: z.array(label).default([]),
    risk: risk.default('moderate'),
    baseState: z.record(label, schemaDigest).optional().meta({
      description:
        'The schema that the plan was written for: the digest of each database that `check` prints. A start on another schema is refused.',
    }),
    services: z.record(label, service).default({}),
    flags: z.record(z.string(), flagDefinition).default({}),
    policies: z
      .strictObject({
        approvals: z.array(approvalRule).default([]),
        windows: z.array(window).max(100).default([]),
      })
      .prefault({}),
    guards: z.array(condition).max(20).default([]).meta({
      description: 'Looked at from the first step to the end; one that trips stops exposure, and then does `onBreach`.',
    }),
    onBreach: z.enum(['rollback', 'hold']).optional().meta({
      description:
        "What follows when one of these guards, or of a phase's, trips: `rollback` before the point of no return, `hold` after, unless said otherwise.",
    }),
    phases: z.array(phase).min(1).max(PHASES_MAX),
  }),
});
/** A plan with its defaults filled in. */
export type Plan = z.output<typeof planSchema>;
/** A plan as people write it. */
export type PlanInput = z.input<typeof planSchema>;
export type Phase = Plan['spec']['phases'][number];
export type ApprovalRule = Plan['spec']['policies']['approvals'][number];
export type Window = Plan['spec']['policies']['windows'][number];
export type Service = Plan['spec']['services'][string];
export type FlagDefinition = Plan['spec']['flags'][string];

/** Types a plan that is written in TypeScript; the value is what a plan file would hold. */
export const definePlan = (plan: PlanInput): PlanInput => plan;
