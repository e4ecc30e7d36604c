import { forgetRowErrors, isRowError, recordRowError } from '../adapters/postgres/backfill-errors.ts';
import { closeBackfill, dropProcedures, procedureName } from '../adapters/postgres/backfill-plan.ts';
import {
  halveImage,
  type Image,
  type ImageTarget,
  nextImage,
  putImageAside,
  restoreImage,
  type Restored,
  retryImages,
  rowsImaged,
} from '../adapters/postgres/before-images.ts';
import type { Database } from '../adapters/postgres/database.ts';
import { showKey } from '../adapters/postgres/hidden-values.ts';
import { quoteTable } from '../adapters/postgres/identifier.ts';
import { recordLineage } from '../adapters/postgres/lineage.ts';
import { findKey } from '../adapters/postgres/range-key.ts';
import { returnsOld } from '../adapters/postgres/row-digest.ts';
import { columnOfTable, readTableShape } from '../adapters/postgres/table-shape.ts';
import { count, counted, SwitchbackError } from '../messages/index.ts';
import { type Job, resultOf } from './backfill-job.ts';
import type { EffectContext, EffectInput, EffectResult } from './effect.ts';
import { giveUpSoon, untilFree } from './until-free.ts';

type Input = EffectInput<'backfill'>;
type Session = Parameters<Parameters<Database['transaction']>[0]>[0];

/** How the rows are found again whose before-images are kept: in the step's record. */
export interface Preserved {
  schema: string;
  table: string;
  key: string[];
  columns: string[];
  marker: string | null;
}
/** What has been restored so far: in the step's record, with every image that is through. */
interface Tally {
  rows: number;
  changed: number;
  gone: number;
  before: string | null;
  after: string | null;
}
const NOTHING: Tally = { rows: 0, changed: 0, gone: 0, before: null, after: null };

/**
 * Closes the walk for good; with `preserve` gives rows back what they held, an image at a time, each in a transaction
 * with the deletion of the image: whoever goes on later finds what is left.
 */
export async function undoBackfill(job: Job, input: Input, context: EffectContext): Promise<EffectResult> {
  const begun = await untilFree(context, () => job.database.transaction((session) => close(session, job, input)));
  if ('note' in begun) return begun;
  const total = begun.total;
  const report = (done: number): void =>
    context.report({
      progress: { done: Math.min(done, total), total, perSecond: null, etaSeconds: null },
      note: 'gives rows back what they held before',
    });
  report(0);
  for (;;) {
    context.signal.throwIfAborted();
    const at = await untilFree(context, () => restoreNext(job, begun.preserved));
    if (at === null) return finish(job, input, begun);
    report(at.rows + at.changed + at.gone);
  }
}

interface Begun {
  rows: number;
  total: number;
  preserved: Preserved;
}
async function close(session: Session, { ledger, key, owner }: Job, input: Input): Promise<EffectResult | Begun> {
  const record = await ledger.enter(session, key);
  if (record.state === 'undone') return resultOf(record);
  const rows = await closeBackfill(session, owner, input.requestedBy, record.state === 'applied');
  for (const drop of dropProcedures(procedureName(input.run, input.step.id))) await session.query(drop);
  const preserved = record.detail['preserved'] as Preserved | undefined;
  if (preserved !== undefined && rows > 0) {
    await retryImages(session, owner);
    await forgetRowErrors(session, owner);
    const { rows: restored, changed, gone } = tallyOf(record.detail);
    const total = restored + changed + gone + (await rowsImaged(session, owner));
    await ledger.record(session, key, 'undoing');
    return { rows, total, preserved };
  }
  const kept =
    input.step.of === undefined
      ? 'they keep their new values (preserve: false)'
      : 'the columns go with the steps that made them';
  const note = rows === 0 ? 'no row had been changed' : `${counted(rows, 'row')} had been changed; ${kept}`;
  await ledger.record(session, key, 'undone', { note });
  return { note, progress: null };
}

const tallyOf = (detail: Record<string, unknown>): Tally => (detail['restored'] as Tally | undefined) ?? NOTHING;

/** Restores the newest image; null where none is left. One with a row that can't be restored is halved down to the row. */
async function restoreNext({ database, ledger, key, owner }: Job, preserved: Preserved): Promise<Tally | null> {
  let at: { image: Image; target: ImageTarget } | null = null;
  try {
    return await database.transaction(async (session) => {
      const record = await ledger.enter(session, key);
      const image = await nextImage(session, owner);
      if (image === null) return null;
      await giveUpSoon(session);
      const target = await targetOf(session, preserved);
      at = { image, target };
      const tally = add(tallyOf(record.detail), await restoreImage(session, target, image));
      await ledger.record(session, key, 'undoing', { detail: { restored: tally } });
      return tally;
    });
  } catch (error) {
    if (at === null || !isRowError(error)) throw error;
    const { image, target } = at as { image: Image; target: ImageTarget };
    return database.transaction(async (session) => {
      const record = await ledger.enter(session, key);
      if (image.rows > 1) await halveImage(session, target, image);
      else await recordRowError(session, owner, await putImageAside(session, image), error);
      return tallyOf(record.detail);
    });
  }
}

async function targetOf(
  session: Session,
  { schema, table, key: names, columns, marker }: Preserved,
): Promise<ImageTarget> {
  const shape = await readTableShape(session, schema, table);
  const key = await findKey(session, shape, names);
  if (key === null) throw new Error(`the key of ${quoteTable(schema, table)} is gone`);
  for (const column of columns) columnOfTable(shape, column);
  const there = marker !== null && shape.columns.has(marker) ? marker : null;
  return { shape, key, columns, marker: there, seesOld: await returnsOld(session) };
}

function add(tally: Tally, { rows, changed, gone, digests }: Restored): Tally {
  return {
    rows: tally.rows + rows,
    changed: tally.changed + changed,
    gone: tally.gone + gone,
    before: xor(tally.before, digests.before),
    after: xor(tally.after, digests.after),
  };
}
const xor = (one: string | null, other: string | null): string | null =>
  one === null || other === null ? (one ?? other) : String(BigInt.asIntN(64, BigInt(one) ^ BigInt(other)));

/** Says what became of the rows; throws `RowErrors` where some can't be restored. */
async function finish(
  { database, ledger, key, owner }: Job,
  { step, requestedBy }: Input,
  begun: Begun,
): Promise<EffectResult> {
  return database.transaction(async (session) => {
    const record = await ledger.enter(session, key);
    if (record.state === 'undone') return resultOf(record);
    const left = await rowsImaged(session, owner);
    if (left > 0) throw await notRestored(session, owner, step.id, left);
    const { rows, changed, gone, before, after } = tallyOf(record.detail);
    const object = quoteTable(begun.preserved.schema, begun.preserved.table);
    if (rows > 0) {
      const entry = { ...owner, direction: 'down' as const, kind: 'backfill', object, lower: null, upper: null };
      await recordLineage(session, { ...entry, rows, requestedBy, digests: { before, after } });
    }
    const kept =
      changed === 0
        ? ''
        : `; ${counted(changed, 'row')} that clients have changed since ${changed === 1 ? 'keeps its' : 'keep their'} values`;
    const lost =
      gone === 0
        ? ''
        : `; ${counted(gone, 'row')} ${gone === 1 ? 'was' : 'were'} deleted or ${gone === 1 ? 'has' : 'have'} another key by now`;
    const note = `${count(rows)} of ${counted(begun.rows, 'row')} hold again what they held${kept}${lost}`;
    await ledger.record(session, key, 'undone', { note });
    return { note, progress: { done: begun.total, total: begun.total, perSecond: null, etaSeconds: 0 } };
  });
}

const KEYS_SHOWN_MAX = 20;
async function notRestored(
  session: Session,
  { run, step: id }: Job['owner'],
  step: string,
  left: number,
): Promise<SwitchbackError> {
  const rows = await session.query(
    `SELECT to_json(keys)::text AS key FROM switchback.before_images
     WHERE migration = $1 AND version = $2 AND epoch = $3 AND step = $4 ORDER BY id LIMIT ${KEYS_SHOWN_MAX}`,
    [run.migration, run.version, run.epoch, id],
  );
  const keys = rows.map((row) => showKey(JSON.parse(row['key'] ?? '[]') as string[])).join(', ');
  return new SwitchbackError(
    'RowErrors',
    `${counted(left, 'row')} could not be given back what ${left === 1 ? 'it' : 'they'} held: key ${keys}${left > KEYS_SHOWN_MAX ? ', …' : ''}`,
    {
      hint: 'look at switchback.row_errors for what Postgres said, mend the rows or the constraint, then retry the step',
      fields: { step, rows: left, keys },
    },
  );
}
