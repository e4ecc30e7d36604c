export { checkPlan, checkPlanText, type PlanCheck } from './check-plan.ts';
export { formatProblems, PlanError, type PlanProblem } from './problem.ts';
export { type PlanReading, readPlan, readPlanValue } from './read.ts';
