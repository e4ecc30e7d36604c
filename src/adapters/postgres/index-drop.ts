import { SwitchbackError } from '../../messages/index.ts';
import { terminate } from './blockers.ts';
import { type CatalogObject, describeObject } from './catalog.ts';
import type { Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { ownSession } from './ddl-session.ts';
import { failedStatement } from './ddl-failure.ts';
import {
  type DdlStatement,
  type DdlWork,
  enterDdl,
  fingerprintOf,
  isDone,
  recordDone,
  recordIntent,
  statementLabel,
} from './ddl-record.ts';
import { builderState, nextPoll, POLL_FIRST_MS, prepareConcurrent, refuseShared } from './index-build.ts';
import { findRelation, indexObject } from './index-look.ts';
import { reportBuild } from './index-progress.ts';
import { cancellable, inCancellableTransaction, wait } from './lock-ladder.ts';

/** DROP INDEX CONCURRENTLY: the intent with the index as it is, the drop, a look, the record. */
export interface DropStep {
  statement: DdlStatement;
  target: { schema: string; index: string; ifExists: boolean };
  last: boolean;
}

export async function applyIndexDrop(work: DdlWork, step: DropStep): Promise<void> {
  let pollMs = POLL_FIRST_MS;
  for (;;) {
    const next = await work.database.session(async (session) => {
      refuseShared(session, work.database.name);
      const decided = await inCancellableTransaction(work.database, session, work.signal, (transaction) =>
        decide(work, step, { transaction, pid: session.pid }),
      ).catch(lookAgain);
      if (decided !== 'drop') return decided;
      await prepareConcurrent(session, work.schema);
      const { schema, index: relation } = step.target;
      const waits = { on: { as: 'drop', schema, relation } } as const;
      const stop = reportBuild(work, session.pid, `drops index "${relation}"`, waits);
      try {
        await cancellable(work.database, ownSession(session), work.signal, () => session.query(step.statement.text));
      } catch (error) {
        throw failedStatement(step.statement, error);
      } finally {
        await stop();
      }
      return decided;
    });
    if (next === 'done') return;
    if (next === 'drop') continue;
    await wait(pollMs, work.signal);
    pollMs = nextPoll(pollMs);
  }
}

/** Another worker's drop ended while the catalog was read. */
function lookAgain(error: unknown): 'wait' {
  if (error instanceof PostgresError && error.vanished) return 'wait';
  throw error;
}

async function decide(
  work: DdlWork,
  step: DropStep,
  at: { transaction: Queryable; pid: string },
): Promise<'done' | 'drop' | 'wait'> {
  const { statement, target, last } = step;
  const { transaction, pid } = at;
  const { detail } = await enterDdl(work, transaction);
  if (isDone(detail, statement)) return 'done';
  const { intent } = detail;
  const found = await findRelation(transaction, target.schema, target.index);
  if (found === null && (intent !== null || target.ifExists)) {
    const dropped = intent?.dropped === null || intent === null ? [] : [intent.dropped];
    const difference = { created: [], dropped, renamed: [], changed: [] };
    await recordDone(work, transaction, detail, { statement, difference, irreversible: [] }, last);
    return 'done';
  }
  if (intent !== null) {
    if ((await builderState(transaction, intent)) === 'active') return 'wait';
    await terminate(transaction, [intent]);
  }
  const dropped = intent?.dropped ?? (await indexObject(transaction, target.schema, target.index));
  refuseIrreversible(work, statement, dropped);
  const [self] = await transaction.query(
    'SELECT backend_start::text AS started FROM pg_stat_activity WHERE pid = pg_backend_pid()',
  );
  const next = {
    statement: statement.number,
    unit: statement.part?.number,
    fingerprint: fingerprintOf(statement.text),
    schema: target.schema,
    name: target.index,
    definition: null,
  };
  await recordIntent(work, transaction, detail, { ...next, dropped, pid, backendStart: self?.['started'] ?? '' });
  return 'drop';
}

function refuseIrreversible(work: DdlWork, statement: DdlStatement, dropped: CatalogObject | null): void {
  if (!work.mustBeReversible || dropped === null || dropped.properties['valid'] === true) return;
  throw new SwitchbackError(
    'NotReversible',
    `${statementLabel(statement)}: ${describeObject(dropped)} is invalid and can't be made again as it is`,
    {
      hint: 'write `down` for this step',
      fields: { statement: statement.number },
    },
  );
}
