import type { CheckedLock, CheckedStatement } from '../../messages/index.ts';
import type { BlueprintInput } from './blueprint-input.ts';

/** Postgres's table locks, weakest first. */
const ORDER = [
  'ACCESS SHARE',
  'ROW SHARE',
  'ROW EXCLUSIVE',
  'SHARE UPDATE EXCLUSIVE',
  'SHARE',
  'SHARE ROW EXCLUSIVE',
  'EXCLUSIVE',
  'ACCESS EXCLUSIVE',
];

/** What a live check says of a `ddl` step's statements; null where nobody looked. */
export function statementsOf(step: string, { live }: Pick<BlueprintInput, 'live'>): readonly CheckedStatement[] | null {
  if ('skipped' in live) return null;
  const found = live.databases.flatMap(({ steps }) => steps).find((checked) => checked.step === step);
  return found?.statements ?? null;
}

/** The strongest lock on a table that any of the statements takes, of what will really run; null: none. */
export function strongestLock(
  statements: readonly CheckedStatement[],
  of?: { schema: string; table: string },
): CheckedLock | null {
  const locks = statements
    .flatMap(({ runs }) => runs)
    .flatMap((run) => run.locks)
    .filter((lock) => of === undefined || (lock.schema === of.schema && lock.relation === of.table));
  return locks.toSorted((a, b) => ORDER.indexOf(b.mode) - ORDER.indexOf(a.mode))[0] ?? null;
}

const HELD = { moment: 'for a moment', scan: 'while it is read through', rewrite: 'while it is rewritten' };

/** `ACCESS EXCLUSIVE for a moment` */
export const lockWords = ({ mode, held }: CheckedLock): string => `${mode} ${HELD[held]}`;
