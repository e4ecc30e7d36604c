import { z } from 'zod';
import { condition, conditionSources } from '../../src/plan/condition.ts';
import { parts, planSchema } from '../../src/plan/plan.ts';
import { chunk, retry, throttle } from '../../src/plan/step.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { dateOrInstant, duration, identifier, label, sqlText, version } from '../../src/plan/values.ts';

/** As much of JSON Schema as the plan's schema uses. */
export interface JsonSchema {
  $ref?: string;
  allOf?: JsonSchema[];
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  default?: unknown;
  description?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  additionalProperties?: JsonSchema | boolean;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  definitions?: Record<string, JsonSchema>;
  minimum?: number;
  maximum?: number;
}

/** Parts that stand in many places; each is written once, under its name. */
const NAMED: Record<string, z.ZodType> = {
  condition,
  duration,
  label,
  identifier,
  version,
  sql: sqlText,
  dateOrInstant,
  chunk,
  throttle,
  retry,
  service: parts.service,
  approvalRule: parts.approvalRule,
  window: parts.window,
  ...Object.fromEntries(Object.entries(conditionSources).map(([name, schema]) => [`condition-${name}`, schema])),
  ...Object.fromEntries(Object.entries(stepKinds).map(([name, schema]) => [`step-${name}`, schema])),
};

/**
 * The plan format for editors, as people write plans: draft 7, which YAML language servers know best. Rules over several
 * fields (exactly one of …) are `switchback check`'s; JSON Schema would tell them as riddles.
 */
export function planJsonSchema(): JsonSchema {
  for (const [id, schema] of Object.entries(NAMED)) {
    z.globalRegistry.add(schema, { ...z.globalRegistry.get(schema), id });
  }
  const schema = z.toJSONSchema(planSchema, { io: 'input', target: 'draft-7' }) as JsonSchema;
  return { ...schema, ...{ title: 'A migration plan of Switchback, format v1' } };
}
