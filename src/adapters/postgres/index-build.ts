import { SwitchbackError } from '../../messages/index.ts';
import { terminate } from './blockers.ts';
import type { CatalogObject } from './catalog.ts';
import type { Database, Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { failedStatement } from './ddl-failure.ts';
import {
  type DdlDetail,
  type DdlStatement,
  type DdlWork,
  enterDdl,
  fingerprintOf,
  type IndexBuild,
  type Intent,
  isDone,
  readDetail,
  recordDone,
  recordIntent,
  statementLabel,
} from './ddl-record.ts';
import { type DirectSession, ownSession } from './ddl-session.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { reportBuild } from './index-progress.ts';
import { expectedDefinition, type FoundRelation, findRelation, indexObject } from './index-look.ts';
import { cancellable, inCancellableTransaction, wait } from './lock-ladder.ts';

/**
 * CREATE INDEX CONCURRENTLY can't share a transaction with its record. So: the intent first (with the session that
 * will build), then a look at the catalog, then the build, then a look and the record. Whoever comes after a crash
 * does the same, and finds the index missing, under construction, invalid or done.
 */
export interface BuildStep {
  statement: DdlStatement;
  index: IndexBuild;
  last: boolean;
  /** From which age on, in milliseconds, transactions are named that it will wait for: a minute. */
  oldTransactionMs?: number;
}
/** A session that is about to end is gone at the next look; one that builds is looked at once a second. */
export const POLL_FIRST_MS = 50;
const POLL_MAX_MS = 1_000;
const ROUNDS_MAX = 10;
const LEFTOVER_LOCK_TIMEOUT_MS = 1_000;

type Next = 'done' | 'build' | 'drop-invalid' | { waitFor: Intent };

export async function applyIndexBuild(work: DdlWork, step: BuildStep): Promise<void> {
  let pollMs = POLL_FIRST_MS;
  for (let round = 1; round <= ROUNDS_MAX; ) {
    const next = await work.database.session((session) => buildRound(work, step, session));
    if (next === 'done') return;
    if (typeof next === 'object') {
      work.onWait(`waits for the index build that an earlier worker began (pid ${next.waitFor.pid})`);
      await wait(pollMs, work.signal);
      pollMs = nextPoll(pollMs);
    } else {
      round += 1;
    }
  }
  throw new SwitchbackError(
    'StatementFailed',
    `${statementLabel(step.statement)}: the index is still invalid after ${ROUNDS_MAX} builds`,
    {
      hint: 'look at the log of Postgres for what ends the builds',
      fields: { statement: step.statement.number },
    },
  );
}

export const nextPoll = (pollMs: number): number => Math.min(POLL_MAX_MS, 2 * pollMs);

async function buildRound(work: DdlWork, step: BuildStep, session: DirectSession): Promise<Next> {
  const { database, signal } = work;
  refuseShared(session, database.name);
  const next = await inCancellableTransaction(database, session, signal, (transaction) =>
    decide(work, step, { transaction, pid: session.pid }),
  );
  if (next === 'drop-invalid') {
    await cancellable(database, ownSession(session), signal, () => dropConcurrently(session, step.index));
  } else if (next === 'build') {
    await build(work, step, session);
  }
  return next;
}

/** Looks at the ledger and the catalog, and writes the intent or the record that follows from them. */
async function decide(work: DdlWork, step: BuildStep, at: { transaction: Queryable; pid: string }): Promise<Next> {
  const { statement, index, last } = step;
  const { transaction } = at;
  const { detail } = await enterDdl(work, transaction);
  if (isDone(detail, statement)) return 'done';
  const found = await findRelation(transaction, index.schema, index.name);
  const intent = detail.intent;
  const definition = intent?.definition ?? (await expected(work, step, transaction));
  const alike = found !== null && found.table === index.table && found.definition === definition;
  if (found !== null && (!alike || (intent === null && !(index.ifNotExists && found.valid))))
    throw foreign(step, found, definition);
  if (found?.valid === true) {
    const made = intent === null ? null : await indexObject(transaction, index.schema, index.name);
    await recordBuilt(work, { transaction, detail, statement, made, last });
    return 'done';
  }
  if (intent !== null && intent.pid !== '') {
    if ((await builderState(transaction, intent)) === 'active') return { waitFor: intent };
    // A session that isn't building belongs to a worker that hangs: it must not begin after we have looked.
    await terminate(transaction, [intent]);
  }
  if (found !== null) return 'drop-invalid';
  await recordIntent(work, transaction, detail, await intentOf(step, at, definition));
  return 'build';
}

async function expected(work: DdlWork, { statement, index }: BuildStep, transaction: Queryable): Promise<string> {
  try {
    return await expectedDefinition(transaction, work.schema, index);
  } catch (error) {
    throw failedStatement(statement, error);
  }
}

async function intentOf(
  { statement, index }: BuildStep,
  { transaction, pid }: { transaction: Queryable; pid: string },
  definition: string,
): Promise<Intent> {
  const [self] = await transaction.query(
    'SELECT backend_start::text AS started FROM pg_stat_activity WHERE pid = pg_backend_pid()',
  );
  return {
    statement: statement.number,
    unit: statement.part?.number,
    fingerprint: fingerprintOf(statement.text),
    schema: index.schema,
    name: index.name,
    definition,
    dropped: null,
    pid,
    backendStart: self?.['started'] ?? '',
  };
}

async function recordBuilt(
  work: DdlWork,
  {
    transaction,
    detail,
    statement,
    made,
    last,
  }: {
    transaction: Queryable;
    detail: DdlDetail;
    statement: DdlStatement;
    made: CatalogObject | null;
    last: boolean;
  },
): Promise<void> {
  const difference = { created: made === null ? [] : [made], dropped: [], renamed: [], changed: [] };
  await recordDone(work, transaction, detail, { statement, difference, irreversible: [] }, last);
}

async function build(work: DdlWork, step: BuildStep, session: DirectSession): Promise<void> {
  const { statement, index } = step;
  await prepareConcurrent(session, work.schema);
  const on = { as: 'build', schema: index.schema, relation: index.table } as const;
  const waits = { on, olderThanMs: step.oldTransactionMs };
  const stop = reportBuild(work, session.pid, `builds index "${index.name}"`, waits);
  try {
    await cancellable(work.database, ownSession(session), work.signal, () => session.query(statement.text));
  } catch (error) {
    // Rows that the index refuses: it won't be tried again soon, and what is left costs every write. After any other
    // failure, and where it can't go now, the next round or the undo finds it.
    if (error instanceof PostgresError && error.sqlState.startsWith('23')) await dropLeftover(work, index, session.pid);
    throw failedStatement(statement, error);
  } finally {
    await stop();
  }
}

/** Only while the intent is still this session's: a newer worker may be at the same index already. */
async function dropLeftover(work: DdlWork, index: IndexBuild, builder: string): Promise<void> {
  const { database, signal } = work;
  try {
    const record = await work.ledger.read(work.key);
    if (record === null || readDetail(record, work.slot).intent?.pid !== builder) return;
    const left = await findRelation(database, index.schema, index.name);
    if (left === null || left.valid || left.table !== index.table) return;
    await database.session(async (session) => {
      await session.query(`SET lock_timeout = ${LEFTOVER_LOCK_TIMEOUT_MS}`);
      await cancellable(database, ownSession(session), signal, () => dropConcurrently(session, index));
    });
  } catch {
    // The failure of the build itself is what is reported.
  }
}

/** CONCURRENTLY needs what is set before it, and is found again by its pid: both belong to one backend. */
export function refuseShared({ shared }: DirectSession, database: string): void {
  if (!shared) return;
  throw new SwitchbackError(
    'Unsupported',
    `CONCURRENTLY needs a session of its own, and a pooler stands before database "${database}"`,
    {
      hint: `give databases.${database}.directUrl, past the pooler; where that pools whole sessions, the same URL again`,
      fields: { database },
    },
  );
}

/** No `lock_timeout`: each try that times out would leave an invalid index. The server notices a client that is gone. */
export async function prepareConcurrent(session: DirectSession, schema: string): Promise<void> {
  await session.query(`SET lock_timeout = 0; SET statement_timeout = 0; SET search_path = ${quoteIdentifier(schema)}`);
  // Not every platform's Postgres can look whether the client is still there.
  await session.query("SET client_connection_check_interval = '2s'").catch(() => undefined);
}

export const dropConcurrently = (
  session: DirectSession,
  { schema, name }: Pick<IndexBuild, 'schema' | 'name'>,
): Promise<unknown> => session.query(`DROP INDEX CONCURRENTLY IF EXISTS ${quoteTable(schema, name)}`);

/** A worker's session rests for milliseconds between its intent and its statement; one that rests longer hangs. */
const HANGS_AFTER_MS = 2_000;

/** Whether the session that was recorded as builder is still there, and at work or about to be. */
export async function builderState(
  queryable: Queryable,
  { pid, backendStart }: Intent,
): Promise<'active' | 'hanging' | 'gone'> {
  const [row] = await queryable.query(
    `SELECT (state = 'active' OR clock_timestamp() - state_change < $3::int * interval '1 ms')::text AS works
     FROM pg_stat_activity WHERE pid = $1::int AND backend_start = $2::timestamptz AND pid <> pg_backend_pid()`,
    [pid, backendStart, HANGS_AFTER_MS],
  );
  if (row === undefined) return 'gone';
  return row['works'] === 'true' ? 'active' : 'hanging';
}

/** Ends a build that was begun and not recorded: for the undo. Whoever still builds is our own, and stops. */
export async function endBuild(database: Database, intent: Intent): Promise<void> {
  if (intent.pid !== '') await terminate(database, [intent]);
}

function foreign({ statement, index }: BuildStep, found: FoundRelation, definition: string): SwitchbackError {
  const what =
    found.table === null
      ? 'a relation of that name that is not an index'
      : found.definition === definition && found.table === index.table
        ? `an index of that name that was there before${found.valid ? '' : ', invalid'}`
        : `another index of that name, on "${found.table}" ${found.definition}`;
  return new SwitchbackError('ForeignObject', `${statementLabel(statement)}: there is ${what}; it is left alone`, {
    hint: 'give the index of the plan another name, or remove the one that is there yourself',
    fields: { statement: statement.number, schema: index.schema, index: index.name },
  });
}
