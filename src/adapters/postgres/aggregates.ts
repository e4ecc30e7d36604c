import type { Queryable, Row, Value } from './database.ts';
import { inSavepoint, refused } from './table-expressions.ts';

/** Figures of the rows of each group: cheap to compare, and wrong where many rows are. Each is an expression over a row. */
export interface Aggregate {
  sum?: string | undefined;
  /** `*` counts rows, an expression those for which it isn't NULL. */
  count?: string | undefined;
  min?: string | undefined;
  max?: string | undefined;
  /** Left out: all rows are one group. */
  by?: string | undefined;
}
/** One of the relations that are compared. */
export interface AggregateSide {
  /** What to select from, under the alias that the expressions use. */
  from: string;
  /** True for rows that count. */
  where: string;
}
/** A group whose figures differ; a figure is null where the side has no such group. */
export interface GroupDifference {
  group: string | null;
  left: string | null;
  right: string | null;
}
/** So many groups that differ are told. */
export const GROUPS_SHOWN_MAX = 20;

const FUNCTIONS = ['sum', 'count', 'min', 'max'] as const;

/**
 * Writes the SELECT of an aggregate over one side: `zz_group` (text) and `zz_figures`, a JSON array of texts as text, so
 * that two sides are the same exactly where their texts are. Names must resolve as they will when it is run; `session`
 * must be in a transaction. Throws `StatementFailed`, with `where` in the message.
 */
export async function aggregateSelect(
  session: Queryable,
  aggregate: Aggregate,
  side: AggregateSide,
  where: string,
): Promise<string> {
  const figures: string[] = [];
  for (const name of FUNCTIONS) {
    const expression = aggregate[name];
    if (expression === undefined) continue;
    figures.push(`${await figureOf(session, name, expression, side, `${where}.${name}`)}::text`);
  }
  const group = aggregate.by === undefined ? 'NULL::text' : `((\n${aggregate.by}\n)::text COLLATE "C")`;
  return `SELECT ${group} AS zz_group, json_build_array(${figures.join(', ')})::text AS zz_figures FROM ${side.from} WHERE ${side.where}${aggregate.by === undefined ? '' : ' GROUP BY 1'}`;
}

/**
 * The sum of floats depends on the order in which they come: as numeric it does not. The least and the greatest text are
 * taken by bytes, whatever the collation of a side.
 */
async function figureOf(
  session: Queryable,
  name: (typeof FUNCTIONS)[number],
  expression: string,
  { from }: AggregateSide,
  where: string,
): Promise<string> {
  if (name === 'count') return expression.trim() === '*' ? 'count(*)' : `count((\n${expression}\n))`;
  const [row] = await inSavepoint(session, () =>
    session.query(
      `SELECT t.typname, t.typcollation <> 0 AS collatable FROM (VALUES (1)) zz_one (one)
         LEFT JOIN (SELECT (\n${expression}\n) AS zz_value FROM ${from} LIMIT 0) zz_none ON true
         JOIN pg_type t ON t.oid = pg_typeof(zz_none.zz_value)::oid`,
    ),
  ).catch((error: unknown) => {
    throw refused(error, where);
  });
  if (name === 'sum') return `sum((\n${expression}\n)${/^float[48]$/.test(row?.['typname'] ?? '') ? '::numeric' : ''})`;
  return `${name}((\n${expression}\n)${row?.['collatable'] === 't' ? ' COLLATE "C"' : ''})`;
}

/** Compares both sides in one statement, and so in one snapshot. Answers with the groups that differ, some of them. */
export async function compareGroups(
  session: Queryable,
  left: string,
  right: string,
  values: readonly Value[] = [],
): Promise<{ groups: number; shown: GroupDifference[] }> {
  const rows = await session.query(
    `SELECT zz_group, max(zz_figures) FILTER (WHERE zz_side = 1) AS zz_left, max(zz_figures) FILTER (WHERE zz_side = 2) AS zz_right,
       count(*) OVER () AS zz_groups
     FROM (SELECT 1 AS zz_side, zz.* FROM (${left}) zz UNION ALL SELECT 2, zz.* FROM (${right}) zz) zz_both
     GROUP BY zz_group
     HAVING max(zz_figures) FILTER (WHERE zz_side = 1) IS DISTINCT FROM max(zz_figures) FILTER (WHERE zz_side = 2)
     ORDER BY zz_group LIMIT ${GROUPS_SHOWN_MAX}`,
    values,
  );
  const shown = rows.map((row) => differenceOf(row));
  return { groups: Number(rows[0]?.['zz_groups'] ?? 0), shown };
}

const differenceOf = (row: Row): GroupDifference => ({
  group: row['zz_group'] ?? null,
  left: row['zz_left'] ?? null,
  right: row['zz_right'] ?? null,
});

/** The figures of an aggregate in words: `sum 10, count 2`; those that aren't there: `no rows`. */
export function figureWords(aggregate: Aggregate, figures: string | null): string {
  if (figures === null) return 'no rows';
  const names = FUNCTIONS.filter((name) => aggregate[name] !== undefined);
  const values = JSON.parse(figures) as (string | null)[];
  return names.map((name, index) => `${name} ${values[index] ?? 'NULL'}`).join(', ');
}
