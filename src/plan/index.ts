export type { Acknowledge } from './acknowledge.ts';
export type { Condition, ConditionSource } from './condition.ts';
export type { Gate } from './gates.ts';
export {
  fillMetricWords,
  type Metric,
  METRIC_SOURCES,
  metricForm,
  type MetricPath,
  type MetricSource,
  metricTexts,
  namesWord,
} from './metric.ts';
export * from './plan.ts';
export { answersNew, areAdjacent, isStage, nextStage, type Stage, STAGES } from './stages.ts';
export type { Kind, Step, StepInput, StepOf } from './steps/index.ts';
export { durationMs, type Risk } from './values.ts';
