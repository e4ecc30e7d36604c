import { columnsOf, ddlFaults, expressionFault, queryFault, type SqlFault } from '../../sql/index.ts';
import { conditionsOf, type Draft, stepsOf } from '../draft.ts';
import { type Finding, invalid, type Path } from '../finding.ts';
import { type Metric, metricTexts } from '../metric.ts';
import type { Step, StepOf } from '../steps/index.ts';

/** What Postgres's own parser, and the rules about what SQL may stand where, have against a plan. */
export function sqlFindings(draft: Draft): Finding[] {
  return [
    ...stepsOf(draft).flatMap(({ path, step }) => (step === null ? [] : stepFindings(step, path))),
    ...conditionsOf(draft).flatMap(({ path, condition }) => {
      const query = condition?.sql?.query;
      return query === undefined ? [] : faults(queryFault(query), [...path, 'sql', 'query']);
    }),
  ];
}

const faults = (found: SqlFault | null | readonly SqlFault[], path: Path): Finding[] =>
  (found === null ? [] : Array.isArray(found) ? found : [found]).map(({ message, offset }) =>
    invalid(path, `SQL: ${message}`, { offset }),
  );

function stepFindings(step: Step, path: Path): Finding[] {
  switch (step.uses) {
    case 'ddl': {
      const allow = step.allow.map(({ rule }) => rule);
      return [
        ...faults(ddlFaults(step.up, { lossy: step.down !== undefined, allow, schema: step.schema }), [...path, 'up']),
        ...(step.down === undefined ? [] : faults(ddlFaults(step.down, { lossy: true, allow }), [...path, 'down'])),
      ];
    }
    case 'dual-write':
      // The same name on both sides is two columns where there are two tables.
      if (step.from !== undefined)
        return [...expressions(step.up, [...path, 'up']), ...expressions(step.down, [...path, 'down'])];
      return [...sideFindings(step.up, [...path, 'up']), ...sideFindings(step.down, [...path, 'down'])];
    case 'backfill':
      return [
        ...expressions(step.set, [...path, 'set']),
        ...expression(step.where, [...path, 'where']),
        ...throttleFindings(step, path),
      ];
    case 'verify':
      return [
        ...expressions(step.expect, [...path, 'expect']),
        ...expression(step.where, [...path, 'where']),
        ...step.aggregates.flatMap(({ count, ...of }, index) => [
          ...expressions(of, [...path, 'aggregates', index]),
          ...(count === '*' ? [] : expression(count, [...path, 'aggregates', index, 'count'])),
        ]),
        ...(['left', 'right'] as const).flatMap((side) => columnsFindings(step[side]?.columns, [...path, side])),
        ...throttleFindings(step, path),
      ];
    case 'rollout':
      return (step.analysis?.metrics ?? []).flatMap((metric, index) =>
        metricQueries(metric, [...path, 'analysis', 'metrics', index]),
      );
    default:
      return [];
  }
}

/** A metric's words stand for a word and a number: here for some that are as long, so that what is wrong stays in place. */
const metricQueries = (metric: Metric, path: Path): Finding[] =>
  metric.sql === undefined
    ? []
    : metricTexts(metric).flatMap(({ at, text }) => {
        const filled = text.replace(/\$\{path\}|\$path\b/g, (word) => 'p'.repeat(word.length));
        const sql = filled.replace(/\$\{interval\}|\$interval\b/g, (word) => '1'.repeat(word.length));
        return faults(queryFault(sql), [...path, ...at]);
      });

/** The columns of a side may be a list of names, which is not SQL. */
const columnsFindings = (columns: readonly string[] | Record<string, string> | undefined, path: Path): Finding[] =>
  Array.isArray(columns) ? [] : expressions(columns as Record<string, string> | undefined, [...path, 'columns']);

const throttleFindings = ({ throttle: { sql } }: StepOf<'backfill' | 'verify'>, path: Path): Finding[] =>
  sql === undefined ? [] : faults(queryFault(sql.query), [...path, 'throttle', 'sql', 'query']);

const expression = (sql: string | undefined, path: Path): Finding[] =>
  sql === undefined ? [] : faults(expressionFault(sql), path);

const expressions = (columns: Readonly<Record<string, string | undefined>> | undefined, path: Path): Finding[] =>
  Object.entries(columns ?? {}).flatMap(([column, sql]) => expression(sql, [...path, column]));

/** One side of a dual write is a function of the other: what reads its own result would change at every write. */
function sideFindings(columns: Record<string, string> | undefined, path: Path): Finding[] {
  return Object.entries(columns ?? {}).flatMap(([column, sql]) => {
    const wrong = expression(sql, [...path, column]);
    if (wrong.length > 0) return wrong;
    const own = columnsOf(sql).find((read) => Object.hasOwn(columns ?? {}, read));
    return own === undefined
      ? []
      : [
          invalid(
            [...path, column],
            `it reads "${own}", which \`${String(path.at(-1))}\` itself writes; it may read only the other side`,
          ),
        ];
  });
}
