import type { Queryable } from './database.ts';
import { ownSession } from './ddl-session.ts';
import { useSettings } from './ddl-apply.ts';
import { type DdlDetail, type DdlWork, enterDdl, type Intent, readDetail } from './ddl-record.ts';
import { rebuildDroppedIndexes } from './ddl-undo-index.ts';
import { undoRound } from './ddl-undo-round.ts';
import { quoteTable } from './identifier.ts';
import { dropConcurrently, endBuild, prepareConcurrent, refuseShared } from './index-build.ts';
import { findRelation } from './index-look.ts';
import { reportBuild } from './index-progress.ts';
import { cancellable, climbInSession } from './lock-ladder.ts';
import { copyRescued, rescuedCount } from './rescue.ts';

/**
 * Takes back what `up` recorded, last statement first, in short transactions, each with its record. What existed before
 * is never dropped, and what others have built since isn't either: then it stops with `SchemaDrift`. Values that would
 * go with a column or a table are copied first. Answers with how many were.
 */
export async function undoRecorded(work: DdlWork): Promise<{ rescued: number }> {
  await endUnfinishedBuild(work);
  const count = await doneCount(work);
  let rebuilt = 0;
  for (let at = count - 1; at >= 0; at--) {
    rebuilt = await rebuildDroppedIndexes(work, at, rebuilt);
    await undoStatement(work, at);
  }
  return work.database.transaction(async (transaction) => {
    const { record } = await enterDdl(work, transaction);
    await work.ledger.record(transaction, work.key, 'undone');
    return { rescued: rescuedCount(record) };
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
    const next: DdlDetail = { ...up, done: [...up.done, ...done], intent: null };
    await work.ledger.record(transaction, work.key, 'undoing', { detail: { up: next } });
  });
}

function droppedByIntent({ dropped, fingerprint, statement, unit }: Intent): DdlDetail['done'] {
  if (dropped === null) return [];
  const scope = { relations: [{ schema: dropped.schema, name: dropped.of }] };
  const difference = { created: [], dropped: [dropped], renamed: [], changed: [] };
  return [{ fingerprint, statement, unit, scope, difference, irreversible: [], undone: false }];
}

async function undoStatement(work: DdlWork, at: number): Promise<void> {
  for (;;) {
    const round = await climb(work, `undoing statement ${at + 1}`, (transaction, lockTimeoutMs, tryNumber) =>
      undoRound(work, { transaction, at, lockTimeoutMs, tryNumber }),
    );
    switch (round.next) {
      case 'done':
        return;
      case 'again':
        break;
      case 'copy':
        await copyRescued(work, round.rescue);
        break;
      case 'drop-index':
        await dropIndex(work, round);
    }
  }
}

/** Of a table that isn't small: its readers and writers don't wait. What is left of it after a crash is found again. */
async function dropIndex(work: DdlWork, index: { schema: string; name: string }): Promise<void> {
  await work.database.session(async (session) => {
    refuseShared(session, work.database.name);
    await prepareConcurrent(session, index.schema);
    const stop = reportBuild(work, session.pid, `drops index "${index.name}"`);
    try {
      await cancellable(work.database, ownSession(session), work.signal, () => dropConcurrently(session, index));
    } finally {
      await stop();
    }
  });
}

export async function climb<T>(
  work: DdlWork,
  purpose: string,
  attempt: (transaction: Queryable, lockTimeoutMs: number, tryNumber: number) => Promise<T>,
): Promise<T> {
  const { database, limits, signal, killBlockers, onWait } = work;
  return climbInSession({ database, limits, signal, purpose, killBlockers, onWait: (note) => onWait(note) }, attempt);
}
