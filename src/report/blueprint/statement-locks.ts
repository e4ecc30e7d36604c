import { type CheckedLock, type CheckedStatement, LOCK_MODES } from '../../messages/index.ts';
import type { BlueprintInput } from './blueprint-input.ts';

/** What a live check says of a `ddl` step's statements; null where nobody looked. */
export function statementsOf(step: string, { live }: Pick<BlueprintInput, 'live'>): readonly CheckedStatement[] | null {
  if ('skipped' in live) return null;
  const found = live.databases.flatMap(({ steps }) => steps).find((checked) => checked.step === step);
  return found?.statements ?? null;
}

/** The strongest lock that any of the statements takes, of what will really run, on what is in use; null: none. */
export function strongestLock(
  statements: readonly CheckedStatement[],
  of?: { schema: string; table: string },
): CheckedLock | null {
  const locks = statements
    .flatMap(({ runs }) => runs)
    .flatMap((run) => run.locks)
    .filter((lock) => lock.fresh !== true)
    .filter((lock) => of === undefined || (lock.schema === of.schema && lock.relation === of.table));
  return locks.toSorted((a, b) => LOCK_MODES.indexOf(b.mode) - LOCK_MODES.indexOf(a.mode))[0] ?? null;
}

const HELD = { moment: 'for a moment', scan: 'while it is read through', rewrite: 'while it is rewritten' };

/** `ACCESS EXCLUSIVE for a moment` */
export const lockWords = ({ mode, held }: CheckedLock): string => `${mode} ${HELD[held]}`;
