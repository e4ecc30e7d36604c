import { createHash } from 'node:crypto';
import { SwitchbackError } from '../../messages/index.ts';
import { type CatalogObject, type CatalogScope } from './catalog.ts';
import type { CatalogDifference } from './catalog-difference.ts';
import type { Database, Queryable } from './database.ts';
import type { LadderLimits } from './lock-ladder.ts';
import type { StepKey, StepLedger, StepRecord } from './step-ledger.ts';

/** What the ledger keeps of a `ddl` step, and how a step that is under way gets at it. */

/** One statement of a plan, as the parser has read it. */
export interface DdlStatement {
  /** From 1. */
  number: number;
  text: string;
  /** Where in the catalog it can have effects. */
  scope: CatalogScope;
  /** How it has to run: in a transaction with its record, or by itself as CONCURRENTLY asks. */
  runs:
    | { as: 'transaction' }
    | { as: 'index-build'; index: IndexBuild }
    | { as: 'index-drop'; schema: string; index: string; ifExists: boolean };
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

export interface DoneStatement {
  fingerprint: string;
  scope: CatalogScope;
  difference: CatalogDifference;
  /** What of it the catalog alone can't bring back, in words. */
  irreversible: string[];
  undone: boolean;
}
/** Written before a statement that can't share a transaction with its record. */
export interface Intent {
  statement: number;
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
  done: DoneStatement[];
  intent: Intent | null;
}

/** The statements of `up` and of `down` are recorded apart; `undo` holds what undoing without a `down` builds anew. */
export type DdlSlot = 'up' | 'down' | 'undo';

/** A step under way: what everything that runs its statements needs. */
export interface DdlWork {
  database: Database;
  ledger: StepLedger;
  key: StepKey;
  slot: DdlSlot;
  schema: string;
  statementTimeoutMs: number | null;
  limits: LadderLimits;
  killBlockers: boolean;
  /** Whether what the catalog can't bring back is refused: there is no other way to undo it. */
  mustBeReversible: boolean;
  signal: AbortSignal;
  onWait(note: string, progress?: { done: number; total: number }): void;
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

/** Whether statement `number` is recorded as done. Throws where another text was recorded in its place. */
export function isDone(detail: DdlDetail, { number, text }: DdlStatement): boolean {
  const recorded = detail.done[number - 1] ?? (detail.intent?.statement === number ? detail.intent : undefined);
  if (recorded !== undefined && recorded.fingerprint !== fingerprintOf(text)) {
    throw new SwitchbackError('PlanChanged', `statement ${number} has another text than when it was run`, {
      hint: 'give the changed plan a new version',
      fields: { statement: number },
    });
  }
  return detail.done.length >= number;
}

/** Records what a statement did, in its transaction; after the last one the step has its new state. */
export async function recordDone(
  work: DdlWork,
  session: Queryable,
  detail: DdlDetail,
  done: Omit<DoneStatement, 'undone'>,
  last: boolean,
): Promise<void> {
  const next: DdlDetail = { done: [...detail.done, { ...done, undone: false }], intent: null };
  const [during, end] = work.slot === 'up' ? (['intended', 'applied'] as const) : (['undoing', 'undone'] as const);
  await work.ledger.record(session, work.key, last ? end : during, { detail: { [work.slot]: next } });
}

export async function recordIntent(
  work: DdlWork,
  session: Queryable,
  detail: DdlDetail,
  intent: Intent | null,
): Promise<void> {
  const next: DdlDetail = { ...detail, intent };
  await work.ledger.record(session, work.key, work.slot === 'up' ? 'intended' : 'undoing', {
    detail: { [work.slot]: next },
  });
}

/** A statement for people: its number and its first line. */
export const statementLabel = ({ number, text }: DdlStatement): string => {
  const line = text.split('\n', 1)[0] ?? '';
  return `statement ${number} (${line.length > 80 ? `${line.slice(0, 79)}…` : line})`;
};
