import type { ColumnFacts, RelationFacts } from '../../sql/facts.ts';
import type { ColumnShape, TableShape } from './table-shape.ts';

type Columns = Pick<RelationFacts, 'columns'>;

/**
 * The table as the steps of a plan before will have made it: columns that they add are there, those that they drop or
 * rename aren't by that name, types and defaults are the new ones. Everything else is as the catalog has it now.
 *
 * @param before what the facts said before the plan's first step
 * @param after what they say once the steps before have run
 */
export function plannedShape(now: TableShape, before: Columns, after: Columns): TableShape {
  const planned: string[] = [];
  const shapes = after.columns.map((column): [string, ColumnShape] => {
    const known = now.columns.get(column.name);
    if (known !== undefined) return [column.name, changed(known, before, column)];
    planned.push(column.name);
    return [column.name, plannedColumn(column)];
  });
  return { ...now, columns: new Map(shapes), planned };
}

const hasDefault = (column: ColumnFacts): boolean => (column.default !== null && !column.generated) || column.identity;

const plannedColumn = (column: ColumnFacts): ColumnShape => ({
  name: column.name,
  type: column.type,
  collation: null,
  notNull: column.notNull,
  hasDefault: hasDefault(column),
  // The catalog will know the expression; until then it is only known that nobody may write the column.
  generated: column.generated ? 'NULL' : null,
  identityAlways: false,
});

function changed(known: ColumnShape, before: Columns, after: ColumnFacts): ColumnShape {
  const was = before.columns.find(({ name }) => name === after.name);
  if (was === undefined) return known;
  return {
    ...known,
    ...(was.type !== after.type && { type: after.type }),
    ...(was.default !== after.default && { hasDefault: hasDefault(after) }),
  };
}
