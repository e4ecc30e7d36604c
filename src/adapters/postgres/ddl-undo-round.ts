import { type CatalogObject, type CatalogSnapshot, catalogKey, catalogSnapshot, catalogVersion } from './catalog.ts';
import { type CatalogDifference, topLevel } from './catalog-difference.ts';
import { invertDifference } from './catalog-inverse.ts';
import { MadeObjects, netDifference } from './catalog-made.ts';
import { type Move, nextGroup } from './catalog-move.ts';
import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { useSettings } from './ddl-apply.ts';
import { type DdlDetail, type DdlWork, type DoneStatement, enterDdl, readDetail } from './ddl-record.ts';
import { drifted, failedUndo, inWords, lostBetween, strangersIn, wouldLose } from './ddl-undo-check.ts';
import { isNothing, pendingUndo } from './ddl-undo-plan.ts';
import { quoteTable } from './identifier.ts';
import { ConcurrentChange } from './lock-ladder.ts';
import { lockFirst, referredTo, takesOtherOrder } from './lock-order.ts';
import { beginRescue, detachedTables, type RescueKey, showRescued } from './rescue.ts';
import { inSavepoint } from './table-expressions.ts';
import { followColumn, renameTableInSyncs } from './table-sync-follow.ts';

export type Round =
  | { next: 'done' | 'again' }
  | { next: 'copy'; rescue: RescueKey }
  | { next: 'drop-index'; schema: string; name: string };

interface Attempt {
  transaction: Queryable;
  /** Which of the recorded statements. */
  at: number;
  lockTimeoutMs: number;
  tryNumber: number;
}
/** A look at what is left to undo of a statement. */
interface Look {
  now: CatalogSnapshot;
  pending: CatalogDifference;
  moves: Move[];
}

/** A table from this size on is too large to hold up for an index: 10,000 rows of 100 bytes. */
const LARGE_BYTES = 1_000_000;

/**
 * One short transaction of an undo: looks at what is left of the statement, and does as much of it as needs the lock of
 * one relation. Where that isn't all, the next look finds the rest; a crash in between makes no difference.
 */
export async function undoRound(work: DdlWork, { transaction, at, lockTimeoutMs, tryNumber }: Attempt): Promise<Round> {
  const { record } = await enterDdl(work, transaction);
  const up = readDetail(record, 'up');
  const done = up.done[at];
  if (done === undefined || done.undone) return { next: 'done' };
  await useSettings(transaction, { schema: null, lockTimeoutMs, statementTimeoutMs: 0 });
  const version = await catalogVersion(transaction, done.scope);
  const copying = await showRescued(transaction, { record, at });
  if (copying !== null) return { next: 'copy', rescue: copying };
  const statement = new StatementUndo(up, at, detachedTables(record));
  const look = statement.judge(await catalogSnapshot(transaction, done.scope));
  if (look.moves.length === 0) {
    await recordUndone(work, transaction, up, at);
    return { next: 'done' };
  }
  const group = nextGroup(look.moves);
  const index = await largeIndex(transaction, look, group);
  if (index !== null) return { next: 'drop-index', schema: index.schema, name: index.name };
  if (takesOtherOrder(tryNumber)) await lockReferredTo(transaction, group);
  const going = topLevel(look.pending.created).filter((object) =>
    group.some((move) => move.drops === catalogKey(object)),
  );
  // Tried first and taken back: a column isn't hidden from clients before it is certain that it can go.
  const rescue = await beginRescue(work, transaction, { record, at, going }, () =>
    inSavepoint(transaction, async () => {
      statement.judge(await statement.run(transaction, look, group));
    }),
  );
  if (rescue !== null) return { next: 'copy', rescue };
  const left = statement.judge(await statement.run(transaction, look, group));
  // Another session sees all but our own changes: what others changed meanwhile may hang on what goes.
  if ((await catalogVersion(work.database, done.scope)) !== version) throw new ConcurrentChange();
  if (left.moves.length > 0) {
    if (left.moves[0]?.sql === look.moves[0]?.sql) throw drifted(at, [`nothing came of ${left.moves[0]?.sql}`]);
    return { next: 'again' };
  }
  await recordUndone(work, transaction, up, at);
  return { next: 'done' };
}

/** A foreign key that goes takes the strongest lock of both tables. */
async function lockReferredTo(transaction: Queryable, group: readonly Move[]): Promise<void> {
  for (const { drops } of group) {
    const tables = drops === undefined ? null : await referredTo(transaction, drops);
    if (tables !== null && tables.others.length > 0) await lockFirst(transaction, tables, 'ACCESS EXCLUSIVE');
  }
}

class StatementUndo {
  readonly #at: number;
  readonly #done: DoneStatement;
  readonly #net: CatalogDifference;
  readonly #made: MadeObjects;
  readonly #recorded: ReadonlySet<string> | null;
  /** What they had from a parent looks like their own now; it was looked at before they left it. */
  readonly #detached: ReadonlySet<string>;

  constructor({ done }: DdlDetail, at: number, detached: ReadonlySet<string>) {
    const differences = done.map(({ difference }) => difference);
    const own = done[at] as DoneStatement;
    this.#at = at;
    this.#detached = detached;
    this.#done = own;
    this.#net = netDifference(own.difference, differences.slice(0, at));
    this.#made = MadeObjects.ever(differences);
    this.#recorded = recordedKeys(differences);
  }

  /** What is left to do. Throws `SchemaDrift` and `NotReversible`. */
  judge(now: CatalogSnapshot): Look {
    const { pending, drift } = pendingUndo(this.#net, now, this.#made);
    if (drift.length > 0) throw drifted(this.#at, drift);
    const looked = pending.created.filter(({ schema, name }) => !this.#detached.has(quoteTable(schema, name)));
    const strangers = this.#recorded === null ? [] : strangersIn(looked, now, this.#recorded);
    if (strangers.length > 0) throw wouldLose(this.#at, inWords(strangers));
    if (isNothing(pending)) return { now, pending, moves: [] };
    const { moves, irreversible } = invertDifference(pending, now);
    if (irreversible.length > 0) throw notReversible(this.#at, irreversible);
    return { now, pending, moves };
  }

  /** Runs the moves, and answers with what is there then. Throws where more went than the step had made. */
  async run(transaction: Queryable, { now, pending }: Look, group: readonly Move[]): Promise<CatalogSnapshot> {
    for (const { sql } of group) {
      await transaction.query(sql).catch((error: unknown) => {
        throw failedUndo(this.#at, sql, error);
      });
    }
    await useSettings(transaction, null);
    const after = await catalogSnapshot(transaction, this.#done.scope);
    for (const { before, after: renamed } of pending.renamed) {
      if (!after.has(catalogKey(before))) continue;
      if (before.kind === 'table' && before.schema === renamed.schema)
        await renameTableInSyncs(transaction, before.schema, { from: renamed.name, to: before.name });
      if (before.kind !== 'column') continue;
      await followColumn(transaction, before.schema, before.of, { from: renamed.name, to: before.name });
    }
    const lost = lostBetween({ now, after }, this.#made, topLevel(this.#net.created));
    if (lost.length > 0) throw wouldLose(this.#at, inWords(lost));
    return after;
  }
}

/** Keys of all that the step made, whole and part; null for a record of 0.1.0, which kept no parts. */
function recordedKeys(differences: readonly CatalogDifference[]): ReadonlySet<string> | null {
  if (differences.some(({ parts }) => parts === undefined)) return null;
  return new Set(
    differences.flatMap(({ created, renamed, parts = [] }) => [
      ...created.map(catalogKey),
      ...renamed.flatMap(({ before, after }) => [catalogKey(before), catalogKey(after)]),
      ...parts,
    ]),
  );
}

/** An index by itself, of a table that isn't small: it goes without a lock that others would wait for. */
async function largeIndex(
  transaction: Queryable,
  { now, pending }: Look,
  group: readonly Move[],
): Promise<CatalogObject | null> {
  const index = pending.created.find(
    ({ kind, ...object }) => kind === 'index' && group[0]?.drops === catalogKey({ kind, ...object }),
  );
  if (index === undefined) return null;
  const table = now.get(catalogKey({ kind: 'table', schema: index.schema, of: '', name: index.of }));
  if (table?.properties['partitionKey'] !== null) return null;
  const [row] = await transaction.query('SELECT pg_relation_size(to_regclass($1)) AS bytes', [
    quoteTable(index.schema, index.of),
  ]);
  return Number(row?.['bytes']) >= LARGE_BYTES ? index : null;
}

const notReversible = (at: number, irreversible: readonly string[]): SwitchbackError =>
  new SwitchbackError(
    'NotReversible',
    `statement ${at + 1} can't be undone from the catalog: ${irreversible.join('; ')}`,
    {
      hint: 'bring the schema back by hand, then skip the undo of this step',
      fields: { statement: at + 1 },
    },
  );

async function recordUndone(work: DdlWork, transaction: Queryable, up: DdlDetail, at: number): Promise<void> {
  const next: DdlDetail = {
    ...up,
    done: up.done.map((statement, index) => (index === at ? { ...statement, undone: true } : statement)),
  };
  await work.ledger.record(transaction, work.key, 'undoing', { detail: { up: next } });
}
