import type { Step } from '../plan/index.ts';
import { backfillDiskBytes, type RelationFacts } from '../sql/index.ts';
import { bytesInWords, listed, word } from '../sql/rules/relation-words.ts';
import { BACKFILL_INDEX, BACKFILL_ROOM, type StepRule } from '../sql/rules/step-rules.ts';

/** What stands in the way of a backfill, as the catalog shows: too little disk, indexes that make it dear. */
export function backfillFindings(
  step: Step,
  { schema, table, sets }: { schema: string; table: string; sets?: readonly string[] },
  { relation, roomBytes }: { relation: RelationFacts; roomBytes: number | null },
): [StepRule, string][] {
  if (step.uses !== 'backfill' || sets === undefined) return [];
  const name = `${word(schema)}.${word(table)}`;
  const findings: [StepRule, string][] = [];
  const bytes = backfillDiskBytes(relation);
  if (roomBytes !== null && step.where === undefined && bytes > roomBytes) {
    const message = `changing every row of ${name} needs about ${bytesInWords(bytes)} of disk, and there is room for ${bytesInWords(roomBytes)}`;
    findings.push([BACKFILL_ROOM, message]);
  }
  const indexes = relation.indexes.filter((index) => holdsAny(index, sets)).map(({ name: index }) => word(index));
  if (indexes.length > 0) {
    const message = `${listed(indexes)} of ${name} ${indexes.length === 1 ? 'holds' : 'hold'} a column that the backfill sets: none of its updates can be HOT`;
    findings.push([BACKFILL_INDEX, message]);
  }
  return findings;
}

/** Also in an expression, a predicate or INCLUDE: those are only in the definition, from its first bracket on. */
function holdsAny({ method, definition }: RelationFacts['indexes'][number], columns: readonly string[]): boolean {
  // A summarizing index doesn't keep an update from being HOT (from Postgres 16 on).
  if (method === 'brin') return false;
  const within = definition.slice(definition.indexOf('('));
  const words: readonly string[] = within.match(/"(?:[^"]|"")+"|[A-Za-z_][\w$]*/g) ?? [];
  return columns.some((column) => words.includes(word(column)));
}
