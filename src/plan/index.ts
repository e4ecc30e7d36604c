export type { Condition, ConditionSource } from './condition.ts';
export { type Gate, gatesOf } from './gates.ts';
export * from './plan.ts';
export { effectiveRisk } from './risk.ts';
export type { Kind, Step, StepInput, StepOf } from './steps/index.ts';
export { KINDS } from './steps/index.ts';
export { durationMs, higherRisk, RISKS, type Risk } from './values.ts';
