import { SwitchbackError } from '../../messages/index.ts';
import { catalogSnapshot, catalogVersion } from './catalog.ts';
import {
  catalogDifference,
  type CatalogDifference,
  type RenamedColumns,
  renamedColumns,
} from './catalog-difference.ts';
import { invertDifference } from './catalog-inverse.ts';
import { netDifference } from './catalog-made.ts';
import { applyColumnFill } from './column-fill.ts';
import type { Queryable } from './database.ts';
import { lockErrorOrFailure } from './ddl-failure.ts';
import {
  type DdlStatement,
  type DdlWork,
  enterDdl,
  isDone,
  type PlannedStatement,
  recordDone,
  type RecordedUnit,
  recordedUnits,
  recordUnits,
  statementLabel,
} from './ddl-record.ts';
import { dualWritesInWords } from './dual-write.ts';
import { quoteIdentifier } from './identifier.ts';
import { applyIndexBuild } from './index-build.ts';
import { applyIndexDrop } from './index-drop.ts';
import { climbInSession, ConcurrentChange } from './lock-ladder.ts';
import { lockFirst, takesOtherOrder } from './lock-order.ts';
import { findTableSyncs } from './table-sync.ts';
import { followColumn, renameTableInSyncs } from './table-sync-follow.ts';

/**
 * Runs the statements that are not yet recorded as done, unit by unit, one transaction each, with what each changed in
 * the catalog. Throws `RuleViolated`, `LockNotObtained`, `StatementFailed`, `NotReversible`, `ForeignObject`, `Fenced`,
 * `PlanChanged`.
 */
export async function applyStatements(work: DdlWork, statements: readonly PlannedStatement[]): Promise<void> {
  for (const statement of statements) {
    const units = statement.read(await decidedUnits(work, statement));
    for (const unit of units) {
      const last = statement.number === statements.length && unit === units.at(-1);
      if (unit.part !== undefined && unit.part.of > 1)
        work.onWait(`runs ${statementLabel(unit)}`, { done: unit.part.number - 1, total: unit.part.of });
      await applyUnit(work, unit, last);
    }
  }
}

/** The recorded units; at the first entry they are worked out and recorded, before the first of them runs. */
async function decidedUnits(work: DdlWork, statement: PlannedStatement): Promise<readonly RecordedUnit[]> {
  const known = await work.database.transaction(async (transaction) =>
    recordedUnits((await enterDdl(work, transaction)).detail, statement),
  );
  if (known !== null) return known;
  // The catalog is read outside of the transaction: it can take a while, and the fence must stay free.
  const decided = await statement.decide();
  return work.database.transaction(async (transaction) => {
    const { detail } = await enterDdl(work, transaction);
    const meanwhile = recordedUnits(detail, statement);
    if (meanwhile !== null) return meanwhile;
    await recordUnits(work, transaction, detail, { number: statement.number, text: statement.text, units: decided });
    return decided;
  });
}

async function applyUnit(work: DdlWork, statement: DdlStatement, last: boolean): Promise<void> {
  refuseUnseen(work, statement);
  switch (statement.runs.as) {
    case 'transaction':
      return applyInTransaction(work, statement, last);
    case 'index-build':
      return applyIndexBuild(work, { statement, index: statement.runs.index, last });
    case 'index-drop':
      return applyIndexDrop(work, { statement, target: statement.runs, last });
    case 'column-fill':
      return applyColumnFill(work, { statement, fill: statement.runs.fill, last });
  }
}

/** Dual writes follow renamed columns, or every client's write would fail. A table they can't follow. */
async function followRenames(
  transaction: Queryable,
  { columns, renamed }: { columns: RenamedColumns[]; renamed: CatalogDifference['renamed'] },
  statement: DdlStatement,
): Promise<void> {
  for (const { schema, table, renames } of columns) await followColumn(transaction, schema, table, ...renames);
  for (const { before, after } of renamed) {
    if (before.kind !== 'table') continue;
    if (before.schema === after.schema)
      await renameTableInSyncs(transaction, before.schema, { from: before.name, to: after.name });
    const [moved] = before.schema === after.schema ? [] : await findTableSyncs(transaction, before.schema, before.name);
    const [own] = await dualWritesInWords(transaction, before.schema, before.name);
    const first = moved === undefined ? own : `step "${moved.step}" of migration "${moved.run.migration}"`;
    if (first === undefined) continue;
    throw new SwitchbackError(
      'StatementFailed',
      `${statementLabel(statement)} renames a table whose columns ${first} keeps in step`,
      { hint: 'rename the table before its dual write, or in a later migration', fields: { table: before.name } },
    );
  }
}

function refuseUnseen(work: DdlWork, statement: DdlStatement): void {
  if (!work.mustBeReversible || statement.unseen === null) return;
  throw new SwitchbackError('NotReversible', `${statementLabel(statement)}: ${statement.unseen}`, {
    hint: 'write `down` for this step',
    fields: { statement: statement.number },
  });
}

async function applyInTransaction(work: DdlWork, statement: DdlStatement, last: boolean): Promise<void> {
  const { database, limits, signal, killBlockers } = work;
  const purpose = statementLabel(statement);
  await climbInSession(
    { database, limits, signal, purpose, killBlockers, onWait: (note) => work.onWait(note) },
    (transaction, lockTimeoutMs, tryNumber) =>
      tryStatement(work, { transaction, statement, last, lockTimeoutMs, tryNumber }),
  );
}

interface Attempt {
  transaction: Queryable;
  statement: DdlStatement;
  last: boolean;
  lockTimeoutMs: number;
  tryNumber: number;
}

async function tryStatement(
  work: DdlWork,
  { transaction, statement, last, lockTimeoutMs, tryNumber }: Attempt,
): Promise<void> {
  const { detail } = await enterDdl(work, transaction);
  if (isDone(detail, statement)) return;
  const { scope } = statement;
  // Printing a definition takes the table's weakest lock: that too is waited for no longer than the ladder says.
  await useSettings(transaction, { schema: null, lockTimeoutMs, statementTimeoutMs: 0 });
  if (statement.refersTo !== undefined && takesOtherOrder(tryNumber))
    await lockFirst(transaction, statement.refersTo, 'SHARE ROW EXCLUSIVE');
  // The version is read first: what changes between the two is noticed then, and looked at once more.
  const version = await catalogVersion(transaction, scope);
  const before = await catalogSnapshot(transaction, scope);
  await useSettings(transaction, {
    schema: work.schema,
    lockTimeoutMs,
    statementTimeoutMs: work.statementTimeoutMs ?? 0,
  });
  await runStatement(transaction, statement);
  await useSettings(transaction, null);
  const after = await catalogSnapshot(transaction, scope);
  const difference = catalogDifference(before, after);
  const { renamed } = difference;
  await followRenames(transaction, { columns: renamedColumns(before, after), renamed }, statement);
  // Only what nobody else changed meanwhile is ours to take back; another session sees all but our own changes.
  if ((await catalogVersion(work.database, scope)) !== version) throw new ConcurrentChange();
  // What this step made goes with it, whatever it has done to it since.
  const earlier = detail.done.map((done) => done.difference);
  const { irreversible } = invertDifference(netDifference(difference, earlier));
  if (work.mustBeReversible && irreversible.length > 0) {
    throw new SwitchbackError(
      'NotReversible',
      `${statementLabel(statement)} can't be undone from the catalog: ${irreversible.join('; ')}`,
      {
        hint: 'write `down` for this step, or use a `retire` step for what goes out of use',
        fields: { statement: statement.number },
      },
    );
  }
  const seen = statement.unseen === null ? irreversible : [...irreversible, statement.unseen];
  await recordDone(work, transaction, detail, { statement, difference, irreversible: seen }, last);
}

export interface StatementSettings {
  schema: string | null;
  lockTimeoutMs: number;
  statementTimeoutMs: number;
}
/** Settings for the plan's statements, for this transaction only; null: our own again. */
export async function useSettings(transaction: Queryable, settings: StatementSettings | null): Promise<void> {
  const path = settings === null || settings.schema === null ? 'pg_catalog' : quoteIdentifier(settings.schema);
  await transaction.query(
    `SET LOCAL search_path = ${path}; SET LOCAL lock_timeout = ${settings?.lockTimeoutMs ?? 0}; ` +
      `SET LOCAL statement_timeout = ${settings?.statementTimeoutMs ?? 0}`,
  );
}

async function runStatement(transaction: Queryable, statement: DdlStatement): Promise<void> {
  try {
    await transaction.query(statement.text);
  } catch (error) {
    throw lockErrorOrFailure(statement, error);
  }
}
