import { createHash } from 'node:crypto';
import { SwitchbackError } from '../../messages/index.ts';
import type { ColumnFill } from '../../sql/index.ts';
import type { CatalogObject, CatalogScope, RelationName } from './catalog.ts';
import { type CatalogDifference, compact } from './catalog-difference.ts';
import type { Database, Queryable } from './database.ts';
import type { KillBlockers, LadderLimits } from './lock-ladder.ts';
import type { StepKey, StepLedger, StepRecord } from './step-ledger.ts';

/** What the ledger keeps of a `ddl` step, and how a step that is under way gets at it. */

/**
 * One statement of a plan. It runs as one or several units: itself, or a safe form. Which form fits depends on the live
 * catalog, so it is decided once, before the first unit runs, and kept: whoever comes later follows the record.
 */
export interface PlannedStatement {
  /** From 1. */
  number: number;
  text: string;
  /** Works out the units from the live catalog. Throws `RuleViolated`. */
  decide(): Promise<readonly RecordedUnit[]>;
  /** Recorded units as what runs. */
  read(units: readonly RecordedUnit[]): DdlStatement[];
}
export interface RecordedUnit {
  text: string;
  /** Rows are given a column's default, chunk by chunk. */
  fill?: ColumnFill | undefined;
}
/** The units that a statement of the plan runs as. */
export interface StatementUnits {
  /** Of the plan's text. */
  fingerprint: string;
  units: readonly RecordedUnit[];
}

/** One unit: what runs at once, as the parser has read it. */
export interface DdlStatement {
  /** The plan's statement that it is of, from 1. */
  number: number;
  /** Where a statement runs as several units: which of how many, from 1. */
  part?: { number: number; of: number } | undefined;
  text: string;
  /** Where in the catalog it can have effects. */
  scope: CatalogScope;
  /** Its table, and those that its foreign keys refer to: they are locked as well. */
  refersTo?: { own: RelationName; others: readonly RelationName[] } | undefined;
  /** How it has to run: in a transaction with its record, or by itself as CONCURRENTLY asks. */
  runs:
    | { as: 'transaction' }
    | { as: 'index-build'; index: IndexBuild }
    | { as: 'index-drop'; schema: string; index: string; ifExists: boolean }
    | { as: 'column-fill'; fill: ColumnFill };
  /** Why the catalog doesn't show what it changes; null where it does. */
  unseen: string | null;
}
/** `CREATE INDEX CONCURRENTLY`, taken apart. */
export interface IndexBuild {
  schema: string;
  table: string;
  name: string;
  unique: boolean;
  ifNotExists: boolean;
  /** What follows the table's name: `USING btree (lower(email)) WHERE …`. */
  rest: string;
}

/** One unit that was run. Records of 0.1.0 have no numbers: there each statement was one unit. */
export interface DoneStatement {
  fingerprint: string;
  /** The plan's statement, from 1, and the unit of it, from 1. */
  statement?: number | undefined;
  unit?: number | undefined;
  scope: CatalogScope;
  difference: CatalogDifference;
  /** What of it the catalog alone can't bring back, in words. */
  irreversible: string[];
  undone: boolean;
}
/** Written before a statement that can't share a transaction with its record. */
export interface Intent {
  statement: number;
  /** The unit of the statement, from 1; left out where it is the only one. */
  unit?: number | undefined;
  fingerprint: string;
  schema: string;
  name: string;
  /** A build: the definition the index must have to be ours. A drop: null. */
  definition: string | null;
  /** A drop: the index as it was. A build: null. */
  dropped: CatalogObject | null;
  /** The session that builds: it may still be at it after its worker was killed. */
  pid: string;
  backendStart: string;
}
export interface DdlDetail {
  /** One for each unit, in the order in which they ran. */
  done: DoneStatement[];
  intent: Intent | null;
  /** By the plan's statements, as far as they were begun. Null for what 0.1.0 has begun: it ran as written. */
  units?: readonly (StatementUnits | null)[] | undefined;
}

/** The statements of `up` and of `down` are recorded apart; `undo` holds what undoing without a `down` builds anew. */
export type DdlSlot = 'up' | 'down' | 'undo';

export interface DdlProgress {
  done: number;
  total: number;
  perSecond?: number | null;
  etaSeconds?: number | null;
}

/** A step under way: what everything that runs its statements needs. */
export interface DdlWork {
  database: Database;
  ledger: StepLedger;
  key: StepKey;
  slot: DdlSlot;
  /** Who asked for the migration: for the lineage of rows that are filled. */
  requestedBy?: string | undefined;
  schema: string;
  statementTimeoutMs: number | null;
  limits: LadderLimits;
  killBlockers: KillBlockers;
  /** Whether what the catalog can't bring back is refused: there is no other way to undo it. */
  mustBeReversible: boolean;
  signal: AbortSignal;
  /** How far it is; null: there is nothing to count. Left out: someone is in its way, and the note says who. */
  onWait(note: string, progress?: DdlProgress | null): void;
}

export const fingerprintOf = (text: string): string =>
  createHash('sha256').update(text.trim()).digest('hex').slice(0, 32);

export const emptyDetail = (): DdlDetail => ({ done: [], intent: null });

export const readDetail = (record: StepRecord, slot: DdlSlot): DdlDetail =>
  (record.detail[slot] as DdlDetail | undefined) ?? emptyDetail();

export interface Entered {
  record: StepRecord;
  detail: DdlDetail;
}

/** Enters the step in the effect's transaction; an `up` that comes after the rollback began is refused. */
export async function enterDdl(work: DdlWork, session: Queryable): Promise<Entered> {
  const record = await work.ledger.enter(session, work.key);
  if (work.slot === 'up' && (record.state === 'undoing' || record.state === 'undone')) {
    throw new SwitchbackError(
      'Fenced',
      `step "${work.key.step}" is ${record.state === 'undone' ? 'undone' : 'being undone'} already`,
      {
        fields: { migration: work.key.run.migration, step: work.key.step },
      },
    );
  }
  return { record, detail: readDetail(record, work.slot) };
}

/** Whether the unit is recorded as done. Throws where another text was recorded in its place. */
export function isDone(detail: DdlDetail, { number, part, text }: DdlStatement): boolean {
  const unit = part?.number ?? 1;
  const done = doneUnit(detail, number, unit);
  const { intent } = detail;
  const recorded = done ?? (intent?.statement === number && (intent.unit ?? 1) === unit ? intent : undefined);
  if (recorded !== undefined && recorded.fingerprint !== fingerprintOf(text)) throw changed(number);
  return done !== undefined;
}

const doneUnit = ({ done }: DdlDetail, number: number, unit: number): DoneStatement | undefined =>
  done.find((record, index) => (record.statement ?? index + 1) === number && (record.unit ?? 1) === unit);

/** Whether each of that many statements of the plan is recorded with all of its units. */
export const isComplete = (detail: DdlDetail, statements: number): boolean =>
  Array.from({ length: statements }, (_, index) => index + 1).every(
    (number) => doneUnit(detail, number, detail.units?.[number - 1]?.units.length ?? 1) !== undefined,
  );

const changed = (number: number): SwitchbackError =>
  new SwitchbackError('PlanChanged', `statement ${number} has another text than when it was run`, {
    hint: 'give the changed plan a new version',
    fields: { statement: number },
  });

/**
 * The units that are recorded for a statement; null where it wasn't begun. What 0.1.0 has begun runs as written. Throws
 * where another text was recorded in its place.
 */
export function recordedUnits(detail: DdlDetail, { number, text }: PlannedStatement): readonly RecordedUnit[] | null {
  const fingerprint = fingerprintOf(text);
  const recorded = detail.units?.[number - 1];
  const legacy = doneUnit(detail, number, 1) ?? (detail.intent?.statement === number ? detail.intent : undefined);
  const begun = recorded ?? legacy;
  if (begun === undefined) return null;
  if (begun.fingerprint !== fingerprint) throw changed(number);
  return recorded?.units ?? [{ text }];
}

/** Records which units a statement runs as, in the transaction that has entered the step. */
export async function recordUnits(
  work: DdlWork,
  session: Queryable,
  detail: DdlDetail,
  { number, text, units }: { number: number; text: string; units: readonly RecordedUnit[] },
): Promise<void> {
  const all = Array.from({ length: number }, (_, index) => detail.units?.[index] ?? null);
  all[number - 1] = { fingerprint: fingerprintOf(text), units };
  await recordDetail(work, session, { ...detail, units: all });
}

/** What running a unit has changed: the whole difference, of which the ledger keeps what undo needs. */
export interface UnitEffect {
  statement: DdlStatement;
  difference: CatalogDifference;
  irreversible: string[];
}

/** Records what a unit did, in its transaction; after the last one the step has its new state. */
export async function recordDone(
  work: DdlWork,
  session: Queryable,
  detail: DdlDetail,
  { statement, difference, irreversible }: UnitEffect,
  last: boolean,
): Promise<void> {
  const { number, part, text, scope } = statement;
  const done: DoneStatement = {
    fingerprint: fingerprintOf(text),
    statement: number,
    unit: part?.number ?? 1,
    scope,
    difference: compact(difference),
    irreversible,
    undone: false,
  };
  const next: DdlDetail = { ...detail, done: [...detail.done, done], intent: null };
  const [during, end] = work.slot === 'up' ? (['intended', 'applied'] as const) : (['undoing', 'undone'] as const);
  await work.ledger.record(session, work.key, last ? end : during, { detail: { [work.slot]: next }, difference });
}

export const recordIntent = (
  work: DdlWork,
  session: Queryable,
  detail: DdlDetail,
  intent: Intent | null,
): Promise<void> => recordDetail(work, session, { ...detail, intent });

async function recordDetail(work: DdlWork, session: Queryable, next: DdlDetail): Promise<void> {
  await work.ledger.record(session, work.key, work.slot === 'up' ? 'intended' : 'undoing', {
    detail: { [work.slot]: next },
  });
}

/** A statement for people: its number, which part of it, and its first line. */
export const statementLabel = ({ number, part, text }: Pick<DdlStatement, 'number' | 'part' | 'text'>): string => {
  const line = text.split('\n', 1)[0] ?? '';
  const which = part === undefined || part.of === 1 ? '' : `, part ${part.number} of ${part.of}`;
  return `statement ${number}${which} (${line.length > 80 ? `${line.slice(0, 79)}…` : line})`;
};
