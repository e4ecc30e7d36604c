import type { Walker } from '../adapters/postgres/budget.ts';
import type { ThrottleLadder } from '../analysis/throttle.ts';

const OTHERS_NAMED_MAX = 3;

export interface PaceFacts {
  cap: number | null;
  gentle: boolean;
  ladder: Pick<ThrottleLadder, 'share' | 'reasons' | 'recovering'>;
  /** The other steps that move in the same database. */
  others: readonly Walker[];
  /** The step's own migration. */
  migration: string;
  database: string;
  warnings: readonly string[];
}

/** Why a step doesn't go at full speed, in words; null where it does and there is nothing to say. */
export function paceNote({ cap, gentle, ladder, others, migration, database, warnings }: PaceFacts): string | null {
  const parts = [
    ...(ladder.share < 1 ? [slowWords(ladder)] : []),
    ...(others.length > 0 ? [sharedWords(others, migration, database)] : []),
    ...(cap === null ? [] : [`capped at ${cap.toLocaleString('en-US')} rows/s`]),
    ...(gentle ? ['gentle: small chunks, one at a time, and longer rests than work'] : []),
    ...new Set(warnings),
  ];
  return parts.length === 0 ? null : parts.join('; ');
}

/** What slows a step down that nobody has asked for; null where nothing does. */
export const slowNote = (ladder: PaceFacts['ladder']): string | null => (ladder.share < 1 ? slowWords(ladder) : null);

function slowWords({ share, reasons, recovering }: PaceFacts['ladder']): string {
  const speed = share === 0 ? 'stands still' : `at ${Math.max(1, Math.round(100 * share))} % of full speed`;
  const why = reasons.join('; ');
  return recovering ? `recovers, all is well again (it was: ${why}): ${speed}` : `${why}: ${speed}`;
}

function sharedWords(others: readonly Walker[], migration: string, database: string): string {
  const names = others.map((other) =>
    other.migration === migration ? `step ${other.step}` : `migration ${other.migration}`,
  );
  const named = [...new Set(names)];
  const shown = named.slice(0, OTHERS_NAMED_MAX);
  const more = named.length > shown.length ? [`${named.length - shown.length} more`] : [];
  return `shares ${database} with ${[...shown, ...more].join(', ')}: ${partWords(others.length + 1)}`;
}

const partWords = (walkers: number): string =>
  walkers === 2 ? 'half speed' : walkers === 3 ? 'a third of the speed' : `1/${walkers} of the speed`;
