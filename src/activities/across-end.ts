import { readBoth, textsAt } from '../adapters/postgres/across-read.ts';
import { syncedColumns } from '../adapters/postgres/across-repair.ts';
import type { Pair } from '../adapters/postgres/across-side.ts';
import { quoteIdentifier } from '../adapters/postgres/identifier.ts';
import { listRanges, type Place, removeRanges } from '../adapters/postgres/range-ledger.ts';
import { count, counted } from '../messages/counted.ts';
import { SwitchbackError } from '../messages/index.ts';
import { type Input, type Job, NO_PASSES, type Passes, passesOf } from './across-job.ts';
import type { EffectContext, EffectResult } from './effect.ts';
import { type Mask, maskOf } from './masking.ts';
import { takeOffProven } from './proven-repairs.ts';

/** A longer value is cut off: the start of it tells people which one it is. */
const VALUE_CHARACTERS_MAX = 60;

/** The result of a clean pass, the error of one that can't become clean, or null: another pass has to follow. */
export async function endPass(
  job: Job,
  { pair, pass, unequal }: { pair: Pair; pass: number; unequal: string | null },
  input: Input,
  context: EffectContext,
): Promise<EffectResult | SwitchbackError | null> {
  const { step } = input;
  return job.databases.right.transaction(async (session) => {
    const record = await job.ledgers.right.enter(session, job.key);
    if (record.state === 'applied') return { note: record.note ?? 'verified before', progress: null };
    const ranges = await listRanges(session, job.owner);
    const known = passesOf(record.detail);
    // Another worker may have judged this pass already: then there is only its verdict to follow.
    if (ranges.some(({ open }) => open) || known.passes !== pass || known.judged === pass) return null;
    const checked = ranges.reduce((sum, range) => sum + range.keysDone, 0);
    await removeRanges(session, job.owner);
    const { differing, hot, repaired, repairedInPass } = known;
    if (differing === 0 && hot === 0 && repairedInPass === 0 && unequal === null) {
      const mended = repaired === 0 ? '' : `, ${count(repaired)} repaired`;
      const note = `0 of ${counted(checked, 'row')} differ (${pass} ${pass === 1 ? 'pass' : 'passes'}${mended})`;
      await takeOffProven(input, context, known.beganAt);
      await job.ledgers.right.record(session, job.key, 'applied', { note });
      return { note, progress: { done: checked, total: checked, perSecond: null, etaSeconds: 0 } };
    }
    const again = step.onMismatch === 'repair' && pass <= step.maxRounds && repairedInPass > 0;
    // Whoever retries after a failure wants to know how it is then: the count of passes starts anew.
    const kept: Passes = again ? { ...known, judged: pass } : { ...NO_PASSES, repaired };
    await job.ledgers.right.record(session, job.key, 'intended', { detail: { across: kept } });
    if (again) return null;
    const synced = step.onMismatch === 'repair' ? await syncedColumns(session, pair) : [];
    return failure(job, pair, known, { checked, pass, synced, unequal }, input, context);
  });
}

async function failure(
  job: Job,
  pair: Pair,
  { differing, hot, repairedInPass, sample, hotSample }: Passes,
  {
    checked,
    pass,
    synced,
    unequal,
  }: { checked: number; pass: number; synced: readonly string[]; unequal: string | null },
  input: Input,
  context: EffectContext,
): Promise<SwitchbackError> {
  const { step } = input;
  const mask = await maskOf(context.deps, input.run, [job.wishes.left, job.wishes.right]);
  const told = (places: readonly Place[]): string => places.map((place) => mask.key(place)).join(', ');
  const keys = told(sample);
  const hotKeys = told(hotSample);
  const parts = [
    ...(differing === 0
      ? []
      : [
          `${count(differing)} of ${counted(checked, 'row')} differ between both sides of step "${step.id}": key ${keys}`,
        ]),
    ...(hot === 0
      ? []
      : [
          `${counted(hot, 'row')} of step "${step.id}" ${hot === 1 ? 'is' : 'are'} hot, changed at every look, so that nobody can say: key ${hotKeys}`,
        ]),
    ...(unequal === null
      ? []
      : [`${differing === 0 && hot === 0 ? "the rows agree and the aggregates don't: " : ''}${unequal}`]),
    ...(differing === 0 && hot === 0 && unequal === null
      ? [`step "${step.id}" still repaired ${counted(repairedInPass, 'row')} in its last pass (${pass})`]
      : []),
  ];
  if (step.showValues && differing > 0)
    parts.push(
      mask.hides
        ? 'values are not shown: a table is labelled pii'
        : await valuesOf(job, pair, sample, mask, context.signal),
    );
  return new SwitchbackError('VerifyMismatch', parts.join('; '), {
    hint: hintFor(input, { differing, hot, synced }),
    fields: {
      ...{ step: step.id, differing, checked, keys },
      ...(hot > 0 && { hot, hotKeys }),
      // Rows that nobody can judge wait for a person: they are no reason to roll back.
      ...((step.onMismatch === 'hold' || differing === 0) && { hold: true }),
    },
  });
}

/** What the columns of rows hold that differ, as they are now. */
async function valuesOf(
  job: Job,
  pair: Pair,
  places: readonly Place[],
  mask: Mask,
  signal: AbortSignal,
): Promise<string> {
  const { left, right } = await readBoth(job.databases, pair, signal, (session, side) =>
    textsAt(session, side, places),
  );
  const rows = places.flatMap((place) => {
    const id = JSON.stringify(place);
    const [mine, other] = [left.get(id), right.get(id)];
    if (mine === undefined || other === undefined)
      return [`${mask.key(place)} is only on the ${mine === undefined ? 'right' : 'left'}`];
    const columns = pair.left.columns.flatMap(({ alias }, index) =>
      mine[index] === other[index] ? [] : [`${alias} is ${shown(other[index])}, not ${shown(mine[index])}`],
    );
    return columns.length === 0 ? [] : [`${mask.key(place)}: ${columns.join(', ')}`];
  });
  return rows.join('; ');
}

const shown = (text: string | null | undefined): string => {
  if (text === null || text === undefined) return 'NULL';
  return text.length > VALUE_CHARACTERS_MAX ? `'${text.slice(0, VALUE_CHARACTERS_MAX)}…'` : `'${text}'`;
};

function hintFor(
  { step }: Input,
  { differing, hot, synced }: { differing: number; hot: number; synced: readonly string[] },
): string {
  if (differing === 0 && hot === 0)
    return 'look at what the aggregates name: expressions that are not functions of the compared columns, or a copy that never rests';
  if (differing === 0) return 'retry when their writers rest, or give the copy time to follow with a longer `settle`';
  if (step.onMismatch !== 'repair')
    return 'look at the rows; mend them, or let the step make the right side like the left (onMismatch: repair), then retry';
  if (synced.length > 0)
    return `${synced.map(quoteIdentifier).join(', ')} of the right side ${synced.length === 1 ? 'is' : 'are'} kept in step by a dual write and not repaired here; mend the rows, then retry`;
  return 'the right side did not take what the left side holds (a constraint, a trigger, a NOT NULL column that is not compared); mend the rows, then retry';
}
