import {
  type Aggregate,
  aggregateSelect,
  compareGroups,
  figureWords,
  type GroupDifference,
} from '../adapters/postgres/aggregates.ts';
import type { Queryable } from '../adapters/postgres/database.ts';
import { inCancellableTransaction } from '../adapters/postgres/lock-ladder.ts';
import { searchPath } from '../adapters/postgres/table-expressions.ts';
import { asExpected, type Comparison } from '../adapters/postgres/verify.ts';
import type { EffectContext } from './effect.ts';
import type { Mask } from './masking.ts';
import { giveUpSoon, untilFree } from './until-free.ts';
import type { VerifyInput, VerifyJob } from './verify-job.ts';

/**
 * Compares the aggregates of the rows as they are with those of the rows as they should be, each in one statement.
 * Answers with what differs in words; null: nothing.
 */
export async function compareAggregates(
  job: VerifyJob,
  comparison: Comparison,
  { step }: VerifyInput,
  context: EffectContext,
): Promise<string | null> {
  const words: string[] = [];
  for (const [index, aggregate] of step.aggregates.entries()) {
    const where = `aggregates[${index}]`;
    const { groups, shown } = await untilFree(context, () =>
      job.database.session((session) =>
        inCancellableTransaction(job.database, session, context.signal, (transaction) =>
          compared(transaction, comparison, aggregate, where),
        ),
      ),
    );
    if (groups > 0) words.push(aggregateWords(aggregate, { groups, shown }, job.showValues, await job.mask()));
  }
  return words.length === 0 ? null : words.join('; ');
}

async function compared(
  session: Queryable,
  comparison: Comparison,
  aggregate: Aggregate,
  where: string,
): Promise<{ groups: number; shown: GroupDifference[] }> {
  await session.query('SET TRANSACTION READ ONLY');
  await giveUpSoon(session);
  await session.query(`SET LOCAL search_path = ${searchPath(comparison.shape.schema)}`);
  const side = { from: comparison.from, where: comparison.asked };
  const actual = await aggregateSelect(session, aggregate, side, where);
  const expected = await aggregateSelect(session, aggregate, { ...side, from: asExpected(comparison) }, where);
  return compareGroups(session, actual, expected);
}

/** What differs in words: which groups, and by how much where values may be told. */
export function aggregateWords(
  aggregate: Aggregate,
  { groups, shown }: { groups: number; shown: readonly GroupDifference[] },
  showValues: boolean,
  mask: Mask,
): string {
  const names = (['sum', 'count', 'min', 'max'] as const).flatMap((key) =>
    aggregate[key] === undefined ? [] : [`${key} of ${aggregate[key]}`],
  );
  const name = names.join(' and ');
  const verb = names.length === 1 ? 'differs' : 'differ';
  const figures = ({ left, right }: GroupDifference): string =>
    showValues ? ` (${figureWords(aggregate, left)}, not ${figureWords(aggregate, right)})` : '';
  if (aggregate.by === undefined) return `${name} ${verb}${shown.map(figures).join('')}`;
  const keys = shown.map((difference) => `${mask.key([difference.group ?? 'NULL'])}${figures(difference)}`);
  const more = groups > shown.length ? ' …' : '';
  return `${name} by ${aggregate.by} ${verb} in ${groups.toLocaleString('en-US')} ${groups === 1 ? 'group' : 'groups'}: ${keys.join(', ')}${more}`;
}
