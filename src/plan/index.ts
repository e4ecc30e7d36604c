export type { Condition, ConditionSource } from './condition.ts';
export { approvalRuleFor, type Gate, gateName, gatesOf } from './gates.ts';
export * from './plan.ts';
export { effectiveRisk, risksOf } from './risk.ts';
export type { Kind, Step, StepInput, StepOf } from './steps/index.ts';
export { KINDS } from './steps/index.ts';
export { durationMs, higherRisk, RISKS, type Risk } from './values.ts';
