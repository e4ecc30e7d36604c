import { SwitchbackError } from '../../messages/index.ts';
import { type CatalogObject, type CatalogSnapshot, catalogKey, catalogSnapshot, describeObject } from './catalog.ts';
import { catalogDifference, type CatalogDifference, topLevel } from './catalog-difference.ts';
import { invertDifference } from './catalog-inverse.ts';
import type { Queryable } from './database.ts';
import { useSettings } from './ddl-apply.ts';
import { type DdlDetail, type DdlStatement, type DdlWork, enterDdl, type Intent, readDetail } from './ddl-record.ts';
import { hasAll, pendingUndo } from './ddl-undo-plan.ts';
import { renameInDualWrites } from './dual-write.ts';
import { quoteTable } from './identifier.ts';
import { applyIndexBuild, endBuild } from './index-build.ts';
import { findRelation } from './index-look.ts';
import { cancellable, climbLadder } from './lock-ladder.ts';

/**
 * Takes back what `up` recorded, last statement first, one transaction each with its record. What existed before is
 * never dropped, and what others have built since isn't either: then it stops with `SchemaDrift`.
 */
export async function undoRecorded(work: DdlWork): Promise<void> {
  await endUnfinishedBuild(work);
  const count = await doneCount(work);
  let rebuilt = 0;
  for (let at = count - 1; at >= 0; at--) {
    rebuilt += Number(await rebuildDroppedIndex(work, at, rebuilt + 1));
    await undoStatement(work, at);
  }
  await work.database.transaction(async (transaction) => {
    await enterDdl(work, transaction);
    await work.ledger.record(transaction, work.key, 'undone');
  });
}

async function doneCount(work: DdlWork): Promise<number> {
  return work.database.transaction(async (transaction) => {
    const { record } = await enterDdl(work, transaction);
    if (record.state !== 'undone') await work.ledger.record(transaction, work.key, 'undoing');
    return readDetail(record, 'up').done.length;
  });
}

/**
 * A build or drop of an index that was begun and not recorded. Its session is ours and ends. What was being built goes;
 * what was being dropped counts as dropped, and is built again with the rest.
 */
export async function endUnfinishedBuild(work: DdlWork): Promise<void> {
  const record = await work.ledger.read(work.key);
  const intent = record === null ? null : readDetail(record, 'up').intent;
  if (intent === null) return;
  await endBuild(work.database, intent);
  await climb(work, `the rest of index "${intent.name}"`, async (transaction, lockTimeoutMs) => {
    const entered = await enterDdl(work, transaction);
    const up = readDetail(entered.record, 'up');
    if (up.intent === null) return;
    const found = await findRelation(transaction, intent.schema, intent.name);
    const isOurs = intent.definition === null ? found?.valid === false : found?.definition === intent.definition;
    if (isOurs) {
      await useSettings(transaction, { schema: null, lockTimeoutMs, statementTimeoutMs: 0 });
      await transaction.query(`DROP INDEX ${quoteTable(intent.schema, intent.name)}`);
    }
    const done = found?.valid === true ? [] : droppedByIntent(intent);
    const next: DdlDetail = { done: [...up.done, ...done], intent: null };
    await work.ledger.record(transaction, work.key, 'undoing', { detail: { up: next } });
  });
}

function droppedByIntent({ dropped, fingerprint }: Intent): DdlDetail['done'] {
  if (dropped === null) return [];
  const scope = { relations: [{ schema: dropped.schema, name: dropped.of }] };
  const difference = { created: [], dropped: [dropped], renamed: [], changed: [] };
  return [{ fingerprint, scope, difference, irreversible: [], undone: false }];
}

/** An index that alone was dropped is built anew without holding up writers, before the statement counts as undone. */
async function rebuildDroppedIndex(work: DdlWork, at: number, number: number): Promise<boolean> {
  const record = await work.ledger.read(work.key);
  const done = record === null ? undefined : readDetail(record, 'up').done[at];
  const index = done === undefined ? null : droppedIndexOnly(done.difference);
  if (done === undefined || index === null) return false;
  const parts =
    /^CREATE (UNIQUE )?INDEX (?:"(?:[^"]|"")*"|[^\s"]+) ON (?:ONLY )?(?:"(?:[^"]|"")*"|[^\s".]+)\.(?:"(?:[^"]|"")*"|[^\s"]+) (.*)$/s.exec(
      String(index.properties['definition']),
    );
  if (parts === null) return false;
  const statement: DdlStatement = {
    number,
    text: String(index.properties['definition']).replace(
      /^CREATE (UNIQUE )?INDEX /,
      (start) => `${start}CONCURRENTLY `,
    ),
    scope: done.scope,
    runs: { as: 'transaction' },
    unseen: null,
  };
  const build = {
    schema: index.schema,
    table: index.of,
    name: index.name,
    unique: parts[1] !== undefined,
    ifNotExists: true,
    rest: parts[2] ?? '',
  };
  await applyIndexBuild({ ...work, slot: 'undo' }, { statement, index: build, last: false });
  return true;
}

function droppedIndexOnly({ created, dropped, renamed, changed }: CatalogDifference): CatalogObject | null {
  const [only, more] = dropped;
  if (created.length + renamed.length + changed.length > 0 || more !== undefined) return null;
  return only?.kind === 'index' && only.properties['valid'] === true ? only : null;
}

async function undoStatement(work: DdlWork, at: number): Promise<void> {
  await climb(work, `undoing statement ${at + 1}`, async (transaction, lockTimeoutMs) => {
    const { record } = await enterDdl(work, transaction);
    const up = readDetail(record, 'up');
    const done = up.done[at];
    if (done === undefined || done.undone) return;
    await useSettings(transaction, { schema: null, lockTimeoutMs, statementTimeoutMs: 0 });
    const now = await catalogSnapshot(transaction, done.scope);
    const { pending, drift } = pendingUndo(done.difference, now);
    if (drift.length > 0) throw drifted(at, drift);
    const inverse = invertDifference(pending);
    if (inverse.irreversible.length > 0) {
      throw new SwitchbackError(
        'NotReversible',
        `statement ${at + 1} can't be undone from the catalog: ${inverse.irreversible.join('; ')}`,
        {
          hint: 'bring the schema back by hand, then skip the undo of this step',
          fields: { statement: at + 1 },
        },
      );
    }
    for (const statement of inverse.statements) await transaction.query(statement);
    await useSettings(transaction, null);
    for (const { before, after } of pending.renamed.filter((change) => change.before.kind === 'column'))
      await renameInDualWrites(transaction, before.schema, before.of, { from: after.name, to: before.name });
    checkUndone(at, { pending, now, after: await catalogSnapshot(transaction, done.scope) });
    const next: DdlDetail = {
      ...up,
      done: up.done.map((statement, index) => (index === at ? { ...statement, undone: true } : statement)),
    };
    await work.ledger.record(transaction, work.key, 'undoing', { detail: { up: next } });
  });
}

/** What the step made is gone, what it changed is as before, and nothing else went along. */
function checkUndone(
  at: number,
  { pending, now, after }: { pending: CatalogDifference; now: CatalogSnapshot; after: CatalogSnapshot },
): void {
  const wrong = hasAll(pending, after);
  if (wrong.length > 0) throw drifted(at, wrong);
  const ours = topLevel(pending.created);
  const lost = catalogDifference(now, after).dropped.filter((object) => {
    const isOurs = ours.some((created) => catalogKey(created) === catalogKey(object));
    return !isOurs && topLevel([...ours, object]).includes(object);
  });
  if (lost.length === 0) return;
  throw new SwitchbackError(
    'SchemaDrift',
    `undoing statement ${at + 1} would drop ${lost.map(describeObject).join(', ')}, which this step didn't make`,
    {
      hint: 'drop it yourself, or change it so that it no longer needs what this step made; then retry',
      fields: { statement: at + 1 },
    },
  );
}

const drifted = (at: number, drift: readonly string[]): SwitchbackError =>
  new SwitchbackError(
    'SchemaDrift',
    `statement ${at + 1} can't be undone: the schema is no longer as it left it: ${drift.join('; ')}`,
    {
      hint: 'bring what differs back to how the step left it, or to how it was before; then retry',
      fields: { statement: at + 1 },
    },
  );

async function climb(
  work: DdlWork,
  purpose: string,
  attempt: (transaction: Queryable, lockTimeoutMs: number) => Promise<void>,
): Promise<void> {
  const { database, limits, signal, killBlockers, onWait } = work;
  await database.session((session) =>
    climbLadder(
      { database, pid: session.pid, limits, signal, purpose, killBlockers, onWait: (note) => onWait(note) },
      (lockTimeoutMs) =>
        cancellable(database, session.pid, signal, () =>
          session.transaction((transaction) => attempt(transaction, lockTimeoutMs)),
        ),
    ),
  );
}
