import {
  type Aggregate,
  aggregateSelect,
  type GroupDifference,
  GROUPS_SHOWN_MAX,
} from '../adapters/postgres/aggregates.ts';
import { type Both, readBoth } from '../adapters/postgres/across-read.ts';
import type { Pair, Side } from '../adapters/postgres/across-side.ts';
import type { Queryable } from '../adapters/postgres/database.ts';
import { quoteIdentifier } from '../adapters/postgres/identifier.ts';
import { wait } from '../adapters/postgres/lock-ladder.ts';
import { durationMs } from '../plan/index.ts';
import type { Input, Job } from './across-job.ts';
import type { EffectContext } from './effect.ts';
import type { Mask } from './masking.ts';
import { untilFree } from './until-free.ts';
import { aggregateWords } from './verify-aggregates.ts';

/** Looks at aggregates of tables whose rows agree, until they agree too: a copy may be on its way. */
const LOOKS_MAX = 6;

type Figures = ReadonlyMap<string | null, string>;

/**
 * Compares the aggregates of both sides, whose expressions are over the names that both have in common. Answers with
 * what differs at every look, in words; null: each was the same at some look.
 */
export async function compareAggregatesAcross(
  job: Job,
  pair: Pair,
  { step }: Input,
  { showValues, mask }: { showValues: boolean; mask: Mask },
  context: EffectContext,
): Promise<string | null> {
  const words: string[] = [];
  for (const [index, aggregate] of step.aggregates.entries()) {
    for (let looks = 1; ; looks++) {
      const figures = await untilFree(context, () =>
        readBoth(job.databases, pair, context.signal, (session, side) =>
          figuresOf(session, side, aggregate, `aggregates[${index}]`),
        ),
      );
      const differing = groupsThatDiffer(figures);
      if (differing.length === 0) break;
      if (looks === LOOKS_MAX) {
        const shown = differing.slice(0, GROUPS_SHOWN_MAX);
        words.push(aggregateWords(aggregate, { groups: differing.length, shown }, showValues, mask));
        break;
      }
      await wait(Math.max(1, durationMs(step.settle) / (LOOKS_MAX - 1)), context.signal);
    }
  }
  return words.length === 0 ? null : words.join('; ');
}

async function figuresOf(session: Queryable, side: Side, aggregate: Aggregate, where: string): Promise<Figures> {
  const columns = side.columns.map(({ alias, sql }) => `${sql} AS ${quoteIdentifier(alias)}`).join(', ');
  const from = `(SELECT ${columns} FROM ${side.from}) AS zz_rows`;
  const rows = await session.query(await aggregateSelect(session, aggregate, { from, where: 'true' }, where));
  return new Map(rows.map((row) => [row['zz_group'] ?? null, withoutScale(row['zz_figures'] ?? '[]')]));
}

/** 1.50 and 1.5 are the same figure. */
const withoutScale = (figures: string): string =>
  JSON.stringify(
    (JSON.parse(figures) as (string | null)[]).map((figure) =>
      figure !== null && /^-?\d+\.\d+$/.test(figure) ? figure.replace(/\.?0+$/, '') : figure,
    ),
  );

function groupsThatDiffer({ left, right }: Both<Figures>): GroupDifference[] {
  return [...new Set([...left.keys(), ...right.keys()])]
    .filter((group) => left.get(group) !== right.get(group))
    .map((group) => ({ group, left: left.get(group) ?? null, right: right.get(group) ?? null }));
}
