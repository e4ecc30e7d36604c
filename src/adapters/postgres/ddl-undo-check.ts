import { SwitchbackError } from '../../messages/index.ts';
import { type CatalogObject, type CatalogSnapshot, catalogKey, describeObject } from './catalog.ts';
import { catalogDifference, topLevel } from './catalog-difference.ts';
import { fromParent } from './catalog-inverse.ts';
import type { MadeObjects } from './catalog-made.ts';
import { isRelation, isRoutine } from './catalog-move.ts';
import { scaffoldName } from './catalog-restore.ts';
import { PostgresError } from './database-error.ts';

/** What an undo must not do: take along what others built on what the step made. */

const IS_IT = 'bring what differs back to how the step left it, or to how it was before; then retry';

export const drifted = (at: number, drift: readonly string[]): SwitchbackError =>
  new SwitchbackError(
    'SchemaDrift',
    `statement ${at + 1} can't be undone: the schema is no longer as it left it: ${drift.join('; ')}`,
    { hint: IS_IT, fields: { statement: at + 1 } },
  );

export const wouldLose = (at: number, what: string): SwitchbackError =>
  new SwitchbackError('SchemaDrift', `undoing statement ${at + 1} would drop ${what}, which this step didn't make`, {
    hint: 'drop it yourself, or change it so that it no longer needs what this step made; then retry',
    fields: { statement: at + 1 },
  });

/** What is in tables that the step made, and that goes now, though the step didn't make it. */
export function strangersIn(
  created: readonly CatalogObject[],
  now: CatalogSnapshot,
  recorded: ReadonlySet<string>,
): CatalogObject[] {
  const tables = created.filter((object) => isRelation(object));
  return [...now.values()].filter(
    (object) =>
      !isRoutine(object) &&
      object.of !== '' &&
      !fromParent(object) &&
      !recorded.has(catalogKey(object)) &&
      tables.some(({ schema, name }) => schema === object.schema && name === object.of),
  );
}

/** What went between two looks though the step had not made it. */
export function lostBetween(
  { now, after }: { now: CatalogSnapshot; after: CatalogSnapshot },
  made: MadeObjects,
  ours: readonly CatalogObject[],
): CatalogObject[] {
  const scaffolds = new Set([...now.values()].filter(({ kind }) => kind === 'column').map(scaffoldName));
  return catalogDifference(now, after).dropped.filter(
    (object) =>
      !made.has(object) &&
      !(object.kind === 'constraint' && scaffolds.has(object.name)) &&
      !ours.some((own) => catalogKey(own) === catalogKey(object)) &&
      topLevel([...ours, object]).includes(object),
  );
}

export const inWords = (objects: readonly CatalogObject[]): string => objects.map(describeObject).join(', ');

const DEPENDENT_OBJECTS = '2BP01';

/** An error of a statement that undoes; one that found dependents names them: their names are no row's values. */
export function failedUndo(at: number, sql: string, error: unknown): unknown {
  if (!(error instanceof PostgresError) || error.retry) return error;
  if (error.sqlState === DEPENDENT_OBJECTS) {
    const detail = (error.cause as { detail?: string } | undefined)?.detail ?? error.message;
    return new SwitchbackError(
      'SchemaDrift',
      `statement ${at + 1} can't be undone: others have built on what it made: ${detail.replaceAll('\n', '; ')}`,
      {
        hint: 'drop what is named, or change it so that it no longer needs what this step made; then retry',
        fields: { statement: at + 1 },
        cause: error,
      },
    );
  }
  return new SwitchbackError('StatementFailed', `undoing statement ${at + 1} (${sql.slice(0, 80)}): ${error.message}`, {
    hint: error.hint ?? 'look at what keeps the statement from running; then retry',
    fields: { ...error.fields, statement: at + 1 },
    cause: error,
  });
}
