import { equalAfterAll, hashesAt, LOCK_TIMEOUT_MS, textsAt } from '../adapters/postgres/across-read.ts';
import { type Difference, repairRows, syncedColumns } from '../adapters/postgres/across-repair.ts';
import type { Pair } from '../adapters/postgres/across-side.ts';
import { keepHot, listSuspects, removeSuspects } from '../adapters/postgres/across-suspects.ts';
import { quoteTable } from '../adapters/postgres/identifier.ts';
import { recordLineage } from '../adapters/postgres/lineage.ts';
import { wait } from '../adapters/postgres/lock-ladder.ts';
import type { Place } from '../adapters/postgres/range-ledger.ts';
import { counted } from '../messages/counted.ts';
import { durationMs } from '../plan/index.ts';
import { type Input, type Job, type Passes, passesOf } from './across-job.ts';
import type { EffectContext } from './effect.ts';
import { untilFree } from './until-free.ts';

/** Suspects that are judged together: they share the wait. */
const TOGETHER_MAX = 10_000;
const READ_KEYS = 1_000;
/** Rows of one transaction of a repair, and of one look at values. */
const REPAIR_ROWS = 100;
const LOOKS_MIN = 3;
/** Rows are equal when they were for so long without a change: what is written a thousand times a second never is. */
const EQUAL_MS = 50;
const PAUSE_FIRST_MS = 20;
const PAUSE_MAX_MS = 1_000;
/** A row that wasn't still for so many times `settle` is hot. */
const HOT_AFTER = 5;
/** How often rows that change between their verdict and their repair are judged. */
const ROUNDS_MAX = 20;
export const SAMPLE_MAX = 20;

interface Seen {
  left: string | null;
  right: string | null;
}
interface Verdicts {
  different: Difference[];
  hot: Place[];
}

/** Judges every suspect, repairs where asked, and writes down what became of each. */
export async function settleAll(job: Job, pair: Pair, input: Input, context: EffectContext): Promise<void> {
  // A dual write would carry a repair on to its other side: such rows are only told.
  const repairs = input.step.onMismatch === 'repair' && (await syncedColumns(job.databases.right, pair)).length === 0;
  for (let rounds = 1; ; rounds++) {
    const places = await listSuspects(job.databases.right, job.owner, TOGETHER_MAX);
    if (places.length === 0) return;
    const verdicts = await judge(job, pair, places, input, context);
    const different = await reallyDifferent(job, pair, verdicts.different);
    const mended = repairs ? different : [];
    const moved = new Set<string>();
    for (let at = 0; at < mended.length; at += REPAIR_ROWS) {
      const portion = mended.slice(at, at + REPAIR_ROWS);
      for (const place of await untilFree(context, () => repair(job, pair, portion, input)))
        moved.add(JSON.stringify(place));
    }
    // Who changed at the last moment is judged anew, but not for ever.
    const stays = (place: Place): boolean => rounds >= ROUNDS_MAX || !moved.has(JSON.stringify(place));
    await untilFree(context, () =>
      conclude(job, {
        places: places.filter(stays),
        different: different.filter(({ place }) => stays(place)),
        hot: verdicts.hot,
      }),
    );
  }
}

interface Watched {
  place: Place;
  left: string | null;
  right: string | null;
  sinceMs: number;
  looks: number;
}

/**
 * Looks at rows again and again until each is judged. Equal: the left side held before and after what the right side held
 * in between, and a moment later both still do. Different: neither side changed for `settle` and several looks. Hot: it
 * kept changing up to the limit.
 */
async function judge(
  job: Job,
  pair: Pair,
  places: readonly Place[],
  { step }: Input,
  context: EffectContext,
): Promise<Verdicts> {
  const { signal, report } = context;
  const settleMs = durationMs(step.settle);
  const began = performance.now();
  const open = new Map<string, Watched>();
  for (const place of places)
    open.set(JSON.stringify(place), { place, left: null, right: null, sinceMs: Number.NaN, looks: 0 });
  const verdicts: Verdicts = { different: [], hot: [] };
  for (let pauseMs = PAUSE_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS, Math.max(1, settleMs / 2))) {
    const watched = [...open.values()];
    for (let at = 0; at < watched.length; at += READ_KEYS) {
      signal.throwIfAborted();
      await look(job, pair, watched.slice(at, at + READ_KEYS), { settleMs, open, verdicts }, context);
    }
    if (open.size === 0) return verdicts;
    if (performance.now() - began > HOT_AFTER * settleMs + PAUSE_MAX_MS) break;
    report({ progress: null, note: `${counted(open.size, 'row')} that differ are looked at again` });
    await wait(pauseMs, signal);
  }
  verdicts.hot.push(...[...open.values()].map(({ place }) => place));
  return verdicts;
}

/** What the rows are; null where the left side changed while the right side was read. */
async function lookAt(job: Job, pair: Pair, places: readonly Place[]): Promise<(id: string) => Seen | null> {
  const read = (name: 'left' | 'right'): Promise<Map<string, string>> =>
    job.databases[name].transaction(async (session) => {
      // The keys are few: an index finds them, whatever the statistics say of the list.
      await session.query(
        `SET LOCAL search_path = ${pair[name].search}; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SET LOCAL enable_seqscan = off`,
      );
      return hashesAt(session, pair[name], places);
    });
  const before = await read('left');
  const right = await read('right');
  const left = await read('left');
  return (id) =>
    before.get(id) === left.get(id) ? { left: left.get(id) ?? null, right: right.get(id) ?? null } : null;
}

async function look(
  job: Job,
  pair: Pair,
  rows: readonly Watched[],
  { settleMs, open, verdicts }: { settleMs: number; open: Map<string, Watched>; verdicts: Verdicts },
  context: EffectContext,
): Promise<void> {
  const see = (places: readonly Place[]) => untilFree(context, () => lookAt(job, pair, places));
  const seen = await see(rows.map(({ place }) => place));
  const now = performance.now();
  const equal: { id: string; place: Place; hash: string | null }[] = [];
  for (const row of rows) {
    const id = JSON.stringify(row.place);
    const is = seen(id);
    if (is !== null && is.left === is.right) equal.push({ id, place: row.place, hash: is.left });
    else if (is === null || row.looks === 0 || row.left !== is.left || row.right !== is.right) {
      open.set(id, {
        place: row.place,
        left: is?.left ?? null,
        right: is?.right ?? null,
        sinceMs: now,
        looks: is === null ? 0 : 1,
      });
    } else if (row.looks + 1 >= LOOKS_MIN && now - row.sinceMs >= settleMs) {
      verdicts.different.push({ place: row.place, left: is.left, right: is.right });
      open.delete(id);
    } else open.set(id, { ...row, looks: row.looks + 1 });
  }
  if (equal.length === 0) return;
  await wait(EQUAL_MS, context.signal);
  const again = await see(equal.map(({ place }) => place));
  for (const { id, place, hash } of equal) {
    const is = again(id);
    if (is === null || is.left !== hash || is.right !== hash) {
      open.set(id, { place, left: null, right: null, sinceMs: now, looks: 0 });
      continue;
    }
    open.delete(id);
  }
}

/** Without the rows that print differently and are equal by Postgres's own `IS DISTINCT FROM`. */
async function reallyDifferent(job: Job, pair: Pair, different: readonly Difference[]): Promise<Difference[]> {
  if (pair.left.columns.every(({ form }) => form.looseType === null)) return [...different];
  const equal = new Set<string>();
  for (let at = 0; at < different.length; at += REPAIR_ROWS) {
    const places = different.slice(at, at + REPAIR_ROWS).map(({ place }) => place);
    const texts = async (name: 'left' | 'right') =>
      job.databases[name].transaction(async (session) => {
        await session.query(`SET LOCAL search_path = ${pair[name].search}`);
        return textsAt(session, pair[name], places);
      });
    const [left, right] = [await texts('left'), await texts('right')];
    const rows = [...left].flatMap(([place, mine]) => {
      const other = right.get(place);
      return other === undefined ? [] : [{ place, left: mine, right: other }];
    });
    for (const place of await equalAfterAll(job.databases.right, pair.right, rows)) equal.add(place);
  }
  return different.filter(({ place }) => !equal.has(JSON.stringify(place)));
}

/** One transaction on either side: the left one's locks hold until the right one has committed. Answers with who moved. */
async function repair(job: Job, pair: Pair, differences: readonly Difference[], input: Input): Promise<Place[]> {
  const { databases, ledgers, owner, key } = job;
  return databases.left.transaction(async (left) => {
    await ledgers.left.fence(left, owner.run);
    return databases.right.transaction(async (right) => {
      const { detail } = await ledgers.right.enter(right, key);
      const { repaired, moved } = await repairRows({ left, right }, pair, differences);
      for (const { place, before, after } of repaired) {
        await recordLineage(right, {
          run: owner.run,
          step: owner.step,
          direction: 'up',
          kind: 'repair',
          object: quoteTable(pair.right.shape.schema, pair.right.shape.table),
          lower: place,
          upper: place,
          rows: 1,
          requestedBy: input.requestedBy,
          digests: { before: before ?? '0', after: after ?? '0' },
        });
      }
      // A row whose suspect is gone already was done by another worker: what this one did changed nothing.
      const places = repaired.map(({ place }) => place);
      await removeSuspects(right, owner, places);
      const known = passesOf(detail);
      await ledgers.right.record(right, key, 'intended', {
        detail: {
          across: {
            ...known,
            repaired: known.repaired + places.length,
            repairedInPass: known.repairedInPass + places.length,
          },
        },
      });
      return moved;
    });
  });
}

/** Takes the suspects that were judged away, and keeps what was found. Of two workers, the one that takes them counts. */
async function conclude(
  job: Job,
  { places, different, hot }: { places: readonly Place[]; different: readonly Difference[]; hot: readonly Place[] },
): Promise<void> {
  await job.databases.right.transaction(async (session) => {
    const { detail } = await job.ledgers.right.enter(session, job.key);
    const known = passesOf(detail);
    const isHot = new Set(hot.map((place) => JSON.stringify(place)));
    const gone = {
      different: await removeSuspects(
        session,
        job.owner,
        different.map(({ place }) => place),
      ),
      hot: await keepHot(session, job.owner, hot),
    };
    const equal = places.filter((place) => !isHot.has(JSON.stringify(place)));
    await removeSuspects(session, job.owner, equal);
    const next: Passes = {
      ...known,
      differing: known.differing + gone.different,
      hot: known.hot + gone.hot,
      sample:
        gone.different === 0
          ? known.sample
          : sampled(
              known.sample,
              different.map(({ place }) => place),
            ),
      hotSample: gone.hot === 0 ? known.hotSample : sampled(known.hotSample, hot),
    };
    await job.ledgers.right.record(session, job.key, 'intended', { detail: { across: next } });
  });
}

const sampled = (known: readonly Place[], more: readonly Place[]): Place[] => [...known, ...more].slice(0, SAMPLE_MAX);
