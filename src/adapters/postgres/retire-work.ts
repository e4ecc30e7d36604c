import { createHash } from 'node:crypto';
import { SwitchbackError } from '../../messages/index.ts';
import type { Database, Queryable } from './database.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { climbInSession, type LadderLimits } from './lock-ladder.ts';
import type { StepKey, StepLedger } from './step-ledger.ts';

/** What goes out of use: a table, or a column of it. */
export interface RetireTarget {
  schema: string;
  table: string;
  /** null: the whole table. */
  column: string | null;
}
/** What taking out of use, bringing back and dropping have in common. */
export interface RetireWork<Target extends RetireTarget = RetireTarget> {
  database: Database;
  ledger: StepLedger;
  key: StepKey;
  target: Target;
  limits: LadderLimits;
  /** Whether a statement, as a client sent it, reads or writes the table or column of this name. */
  uses(statement: string, name: RetireTarget): boolean;
  signal: AbortSignal;
  onWait(note: string): void;
}

/** `column "full_name" of "public"."users"`, `table "public"."old_users"`. */
export const targetWords = ({ schema, table, column }: RetireTarget): string =>
  column === null
    ? `table ${quoteTable(schema, table)}`
    : `column ${quoteIdentifier(column)} of ${quoteTable(schema, table)}`;
/** The same, short, as notes have it: `"users.full_name"`. */
export const targetLabel = ({ table, column }: RetireTarget): string =>
  `"${column === null ? table : `${table}.${column}`}"`;
export const targetFields = ({ schema, table, column }: RetireTarget): Record<string, string | null> => ({
  schema,
  table,
  column,
});

export const retireRefused = (target: RetireTarget, what: string, hint: string): SwitchbackError =>
  new SwitchbackError('StatementFailed', `${targetWords(target)} ${what}`, { hint, fields: targetFields(target) });
/** It is in someone's way: nothing was changed, and a person decides what comes first. */
export const stillInUse = (target: RetireTarget, what: string, hint: string): SwitchbackError =>
  new SwitchbackError('StillInUse', `${targetWords(target)} ${what}`, { hint, fields: targetFields(target) });

/** The same under its retired name. */
export const retiredTarget = (target: RetireTarget, name: string): RetireTarget =>
  target.column === null ? { ...target, table: name } : { ...target, column: name };

const NAME_BYTES_MAX = 63;

/** A name of ours that tells where the column or table comes from; the same for each call, at most 63 bytes. */
export function retiredName(migration: string, name: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([migration, name]))
    .digest('hex')
    .slice(0, 8);
  let retired = `zz_retired_${hash}_`;
  for (const { segment } of new Intl.Segmenter().segment(name)) {
    if (Buffer.byteLength(retired + segment) > NAME_BYTES_MAX) break;
    retired += segment;
  }
  return retired;
}

/** Runs `attempt` in one transaction under the lock ladder, on a session of its own. */
export async function climb<T>(
  { database, limits, signal, onWait }: Pick<RetireWork, 'database' | 'limits' | 'signal' | 'onWait'>,
  purpose: string,
  attempt: (transaction: Queryable, lockTimeoutMs: number) => Promise<T>,
): Promise<T> {
  return climbInSession({ database, limits, signal, purpose, onWait }, attempt);
}

/** The record of a step that may still go up; null where it has. Throws `Fenced` where it is undone. */
export async function enterUp(work: RetireWork, transaction: Queryable): Promise<'go' | 'done'> {
  const record = await work.ledger.enter(transaction, work.key);
  if (record.state === 'applied') return 'done';
  if (record.state === 'intended') return 'go';
  throw new SwitchbackError('Fenced', `step "${work.key.step}" is undone or being undone already`, {
    fields: { step: work.key.step },
  });
}
