import { createHash } from 'node:crypto';
import type { Queryable } from './database.ts';
import type { DdlWork } from './ddl-record.ts';
import { quoteTable } from './identifier.ts';
import type { StepRecord } from './step-ledger.ts';

/** What the ledger knows of values that are being copied before their column or table goes. */
export interface Rescue {
  schema: string;
  table: string;
  /** The name that the table has meanwhile, and what it was a partition of; null where columns are rescued. */
  hidden: string | null;
  /** The columns that go; none where the whole table does. */
  columns: RescuedColumn[];
  stage: 'copying' | 'copied';
  /** The first pages of the tables up to here are copied. */
  cursor: { oid: string; page: number } | null;
  /** Tables that were gone over as a whole since. */
  swept: string[];
  values: number;
}
export interface RescuedColumn {
  name: string;
  /** The name that it has meanwhile: clients don't know it. Null: its own, because nobody else can get at it. */
  hidden: string | null;
  type: string;
  /** A value that every row has by itself: the column's constant default. */
  fixed: string | null;
  /** What the value follows from, over the other columns of the row: the `up` of a dual write, the `set` of a backfill. */
  derived: string | null;
}
/** Which rescue of a step: one for each statement and relation. */
export type RescueKey = string;

export const rescueKey = (at: number, schema: string, table: string): RescueKey => JSON.stringify([at, schema, table]);
export const isOfStatement = (key: RescueKey, at: number): boolean => (JSON.parse(key) as [number])[0] === at;

/** A name of ours, for a column or a table that is to go. */
export const hiddenName = (key: RescueKey, name: string): string =>
  `zz_switchback_${createHash('sha256')
    .update(JSON.stringify([key, name]))
    .digest('hex')
    .slice(0, 10)}`;

export const readRescues = (record: StepRecord): Readonly<Record<RescueKey, Rescue>> =>
  (record.detail['rescue'] as Record<RescueKey, Rescue> | undefined) ?? {};

/** Records a rescue in the transaction that has entered the step. */
export async function recordRescue(
  { ledger, key: step }: DdlWork,
  transaction: Queryable,
  record: StepRecord,
  [key, rescue]: [RescueKey, Rescue],
): Promise<void> {
  const rescues = { ...readRescues(record), [key]: rescue };
  await ledger.record(transaction, step, 'undoing', { detail: { rescue: rescues } });
  record.detail['rescue'] = rescues;
}

/** How many values, and rows of tables, this step's undo has copied. */
export const rescuedCount = (record: StepRecord): number =>
  Object.values(readRescues(record)).reduce((sum, { values }) => sum + values, 0);

/** Tables that left their parents to have their rows copied, by their quoted names. */
export const detachedTables = (record: StepRecord): ReadonlySet<string> =>
  new Set(
    Object.values(readRescues(record))
      .filter(({ hidden }) => hidden !== null)
      .map(({ schema, table }) => quoteTable(schema, table)),
  );
