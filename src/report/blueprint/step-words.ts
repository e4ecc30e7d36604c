import { count, counted } from '../../messages/index.ts';
import type { Condition, Plan, Step } from '../../plan/index.ts';
import { type BlueprintInput, type StepTable, tableName } from './blueprint-input.ts';
import { lockWords, statementsOf, strongestLock } from './statement-locks.ts';

/** What a step does, and what takes it back, in a sentence each; for people who haven't read the plan's format. */

const list = (names: readonly string[]): string =>
  names.length <= 1 ? (names[0] ?? '') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
const onTables = (tables: readonly StepTable[]): string =>
  tables.length === 0 ? '' : ` on ${list(tables.map(tableName))}`;

/** `query of accounts-db gives at most 3`: what a condition looks at. */
export function conditionWords(condition: Omit<Condition, 'name'> & { name?: string }): string {
  const { sql, prometheus, http, catalog, replicaLag, longTransactions, flagUsage, compatible } = condition;
  if (sql !== undefined) return `a query of ${sql.database} ${bounds(sql)}`;
  if (prometheus !== undefined) return `a Prometheus query ${bounds(prometheus)}`;
  if (http !== undefined) return `${http.url} answers ${http.status}`;
  if (catalog !== undefined) return `the catalog of ${catalog.database}`;
  if (replicaLag !== undefined) return `the replicas of ${replicaLag.database} are at most ${replicaLag.max} behind`;
  if (longTransactions !== undefined)
    return `${longTransactions.database} has no transaction older than ${longTransactions.maxAge}`;
  if (flagUsage !== undefined) return `how often ${flagUsage.flag} is asked`;
  return compatible === undefined ? 'a condition' : 'the compatibility of the live versions';
}

interface Bounds {
  max?: number | undefined;
  min?: number | undefined;
  equals?: unknown;
}

function bounds({ max, min, equals }: Bounds): string {
  const parts = [
    ...(equals === undefined ? [] : [`gives ${JSON.stringify(equals)}`]),
    ...(min === undefined ? [] : [`gives at least ${min}`]),
    ...(max === undefined ? [] : [`gives at most ${max}`]),
  ];
  return parts.length === 0 ? 'holds' : list(parts);
}

/** What the step does. */
export function stepSentence(step: Step, input: BlueprintInput): string {
  const tables = input.tables.get(step.id) ?? [];
  switch (step.uses) {
    case 'ddl': {
      const statements = statementsOf(step.id, input);
      const lock = statements === null ? null : strongestLock(statements);
      const how = statements === null ? '' : ` in ${counted(statements.length, 'statement')}`;
      const held =
        lock === null
          ? ''
          : `; the strongest lock is ${lockWords(lock)}, waited for at most ${step.lockTimeout} at a time`;
      return `changes the schema of ${step.database}${how}${onTables(tables)}${held}`;
    }
    case 'dual-write':
      if (step.from !== undefined && step.to !== undefined) return betweenTables(step, step.from, step.to);
      return `keeps ${list([...Object.keys(step.up), ...Object.keys(step.down ?? {})])}${onTables(tables)} in step by triggers, ${
        step.down === undefined ? 'from the old side to the new' : 'whichever side a service writes'
      }`;
    case 'backfill':
      if (step.of !== undefined && tables.length > 1)
        return `gives every row of ${tables[0]?.table} its pair in ${tables[1]?.table}, in chunks that steer to ${step.chunk.targetTime}${rateWords(step)}`;
      return `fills ${step.set === undefined ? 'the new columns' : list(Object.keys(step.set))}${onTables(tables)}, in chunks that steer to ${step.chunk.targetTime}${rateWords(step)}`;
    case 'verify':
      return `compares every row${onTables(tables)} while writes go on, and ${
        step.onMismatch === 'repair'
          ? `repairs what differs, up to ${counted(step.maxRounds, 'round')}`
          : `${step.onMismatch}s where rows differ`
      }`;
    case 'move':
      return `copies ${tableName(step.from)} of ${step.from.database} to ${step.to.database} and keeps it in step until cut-over`;
    case 'flag':
      return `sets flag ${step.flag}${flagWords(step)}`;
    case 'rollout':
      return `shows flag ${step.flag} to ${list(step.ramp.map(({ percent, stage, bake }) => `${percent === undefined ? stage : `${percent} %`} (${bake})`))} of users, one after the other`;
    case 'check':
      return `waits until ${step.name ?? 'a condition holds'}: ${conditionWords(step)}; looked at every ${step.every}, for at most ${step.deadline}`;
    case 'approval':
      return 'asks for an approval';
    case 'wait':
      return step.for === undefined ? `waits until ${step.until}` : `waits for ${step.for}`;
    case 'call':
      return `runs activity ${step.activity} on task queue ${step.taskQueue}, another team's own code`;
    case 'deprecate':
      return `announces that version ${step.version} of ${step.interface} is deprecated from ${step.at} and gone after ${step.sunset}`;
    case 'retire':
      return `takes ${step.column ?? step.table} of ${step.database} out of use, under another name, so that it can come back in a moment`;
    case 'drop':
      return `removes ${step.column ?? step.table} of ${step.database} for good, ${step.retention} after it was retired`;
  }
}

function betweenTables(
  { up, down }: Extract<Step, { uses: 'dual-write' }>,
  from: { table: string },
  to: { table: string },
): string {
  const back = down === undefined ? '' : `, and ${list(Object.keys(down))} of ${from.table} after ${to.table}`;
  return `keeps ${list(Object.keys(up))} of ${to.table} after ${from.table}${back}, row by row, by triggers`;
}

function rateWords({ throttle, parallelism }: Extract<Step, { uses: 'backfill' }>): string {
  const rate =
    throttle.maxRowsPerSecond === undefined ? '' : `, at most ${count(throttle.maxRowsPerSecond)} rows a second`;
  return parallelism === 1 ? rate : `${rate}, ${parallelism} ranges side by side`;
}

function flagWords({ enabled, percent, variant, stage }: Extract<Step, { uses: 'flag' }>): string {
  if (enabled !== undefined) return enabled ? ' on' : ' off';
  if (percent !== undefined) return ` to ${percent} %`;
  return variant === undefined ? ` to stage ${stage ?? ''}` : ` to variant ${variant.name} for ${variant.percent} %`;
}

/** What takes the step back; null where nothing has to be. */
export function undoSentence(step: Step, input: BlueprintInput): string | null {
  switch (step.uses) {
    case 'ddl': {
      const told = (statementsOf(step.id, input) ?? []).flatMap(({ rollback }) =>
        rollback === null ? [] : [rollback],
      );
      if (step.down !== undefined) return 'by its own `down`';
      return told.length === 0 ? 'by what it changed in the catalog' : told.toReversed().join('; ');
    }
    case 'dual-write':
      return step.from === undefined
        ? 'triggers and marker are removed'
        : 'triggers and markers are removed; the rows of both tables stay';
    case 'backfill':
      return step.preserve ? 'overwritten values are restored' : null;
    case 'move':
      return 'the direction is reversed, then the copy goes';
    case 'flag':
    case 'rollout':
      return 'the flag gets its whole earlier state back, and every client the time to see it';
    case 'call':
      return step.compensate === undefined ? null : `by activity ${step.compensate.activity}`;
    case 'deprecate':
      return 'the announcement is withdrawn';
    case 'retire':
      return `${step.column ?? step.table} gets its name back, with current data`;
    case 'drop':
      return "can't be taken back";
    default:
      return null;
  }
}

/** Every step with its phase, in the order of the plan. */
export const placedSteps = (plan: Plan): { phase: string; step: Step }[] =>
  plan.spec.phases.flatMap((phase) => phase.steps.map((step) => ({ phase: phase.name, step })));
