/**
 * From what a source of metrics says at each look to whole numbers of requests per window. Pure. The caller keeps a
 * `MetricMemory` for each metric and path from look to look (it is JSON), and sees to it that a look that was used is
 * not used again: window and memory are stored together.
 */
export interface Counts {
  total: number;
  bad: number;
}
/** One counter of a reading: of one process, or what a query gives as one. */
export interface CounterPart extends Counts {
  /** Since when it counts, in ms of the source's clock; null where that isn't known. */
  beganAt: number | null;
}
interface Look {
  /** When the source was looked at, in ms since 1970 by its own clock. */
  at: number;
  /** What people should know about the reading though it is one. */
  note: string | null;
}
export type MetricReading =
  /** What happened in the interval that ends at `at`; Prometheus gives fractions. */
  | (Look & Counts & { kind: 'window' })
  /** What happened since each part began. Parts that go away and come are processes that end and start. */
  | (Look & { kind: 'counter'; parts: Readonly<Record<string, CounterPart>> })
  /** One number, to be held against a `max`. */
  | (Look & { kind: 'value'; value: number })
  /** Nothing that counts: absence of evidence is not health. */
  | { kind: 'none'; reason: string };

/** What is kept of the look before. */
export interface MetricMemory {
  at: number;
  /** Null for windows. */
  parts: Readonly<Record<string, Counts>> | null;
  /** What rounding has left over so far, within ±0.5 each. */
  rest: { good: number; bad: number };
}
export interface WindowOutcome {
  /** Whole numbers, 0 ≤ bad ≤ total; null where this look gives none, and `why`. */
  window: Counts | null;
  why: string | null;
  memory: MetricMemory | null;
}

/** Two looks may stand a little closer than the interval; what they overlap by is counted twice. */
const OVERLAP_SHARE_MAX = 0.02;
const OVERLAP_MAX_MS = 1_000;

/**
 * The window that ends with this look. Counters give the difference to the look before, the first look none; after a
 * gap the window is longer, and after a reset it is what was counted since. Windows of a fixed interval that overlap the
 * one before are left out, and what lies in a gap is lost: less evidence, but none twice.
 */
export function nextWindow(memory: MetricMemory | null, reading: MetricReading, intervalMs: number): WindowOutcome {
  if (reading.kind === 'none') return { window: null, why: reading.reason, memory };
  if (reading.kind === 'value') return { window: null, why: 'it is one number, not a ratio', memory };
  const rest = memory?.rest ?? { good: 0, bad: 0 };
  if (reading.kind === 'window') {
    const sinceMs = memory === null || memory.parts !== null ? Number.POSITIVE_INFINITY : reading.at - memory.at;
    if (sinceMs < intervalMs - Math.max(OVERLAP_MAX_MS, intervalMs * OVERLAP_SHARE_MAX))
      return { window: null, why: 'the window is not over yet', memory };
    return rounded(reading, rest, { at: reading.at, parts: null });
  }
  const parts = countsOf(reading.parts);
  const before = memory?.parts ?? null;
  if (memory === null || before === null)
    return { window: null, why: 'counters need a second look', memory: { at: reading.at, parts, rest } };
  return rounded(grown(before, memory.at, reading.parts), rest, { at: reading.at, parts });
}

/** What is kept of both paths. */
export interface PairMemory {
  old?: MetricMemory | null;
  new?: MetricMemory | null;
}
export interface PairOutcome {
  counts: { old: Counts; new: Counts } | null;
  /** Why there are no counts. */
  silent: string | null;
  memory: PairMemory;
}

/**
 * The windows of both paths, which begin and end with the same looks: where one path can't be read, what the other has
 * counted waits for it. Else an outage of both, in a minute in which only the old path could be read, would be seen in the
 * new one's counts alone. `oldUnused`: the old path isn't missing where everybody is on the new one.
 */
export function nextPair(
  memory: PairMemory,
  readings: { old: MetricReading; new: MetricReading },
  { intervalMs, oldUnused }: { intervalMs: number; oldUnused: boolean },
): PairOutcome {
  const old = nextWindow(memory.old ?? null, readings.old, intervalMs);
  const fresh = nextWindow(memory.new ?? null, readings.new, intervalMs);
  const isOldMissing = readings.old.kind === 'none' && !oldUnused;
  const oldCounts = old.window ?? (readings.old.kind === 'none' && oldUnused ? { total: 0, bad: 0 } : null);
  const silent = [
    ...(fresh.window === null ? [`new path: ${fresh.why ?? 'nothing'}`] : []),
    ...(oldCounts === null ? [`old path: ${old.why ?? 'nothing'}`] : []),
  ].join('; ');
  return {
    counts: oldCounts === null || fresh.window === null ? null : { old: oldCounts, new: fresh.window },
    silent: silent === '' ? null : silent,
    memory: readings.new.kind === 'none' || isOldMissing ? memory : { old: old.memory, new: fresh.memory },
  };
}

/** What is kept for a limit on a counter: what was counted since the first look. */
export interface LimitMemory {
  at: number;
  parts: Readonly<Record<string, Counts>>;
  sum: number;
}

/** The number to hold against `max`: the one that was read, or for counters what is bad since the first look. */
export function nextLimit(
  memory: LimitMemory | null,
  reading: MetricReading,
): { value: number | null; why: string | null; memory: LimitMemory | null } {
  if (reading.kind === 'none') return { value: null, why: reading.reason, memory };
  if (reading.kind === 'value') return { value: reading.value, why: null, memory };
  if (reading.kind === 'window') return { value: null, why: 'it is a ratio, not one number', memory };
  const more = memory === null ? 0 : grown(memory.parts, memory.at, reading.parts).bad;
  const sum = (memory?.sum ?? 0) + more;
  return { value: sum, why: null, memory: { at: reading.at, parts: countsOf(reading.parts), sum } };
}

const countsOf = (parts: Readonly<Record<string, CounterPart>>): Record<string, Counts> =>
  Object.fromEntries(Object.entries(parts).map(([name, { total, bad }]) => [name, { total, bad }]));

/**
 * By how much counters have grown, each by itself, so that a process that restarts resets nothing but its own. One whose
 * total went down began again and counts from 0; bad ones that alone went down do so by themselves. A part that is new counts from 0 too, unless it is older than the look
 * before: then what it counted until now can't be placed in time.
 */
function grown(
  before: Readonly<Record<string, Counts>>,
  beforeAt: number,
  now: Readonly<Record<string, CounterPart>>,
): Counts {
  const sum: Counts = { total: 0, bad: 0 };
  for (const [name, part] of Object.entries(now)) {
    const last = before[name];
    if (last === undefined && part.beganAt !== null && part.beganAt < beforeAt) continue;
    const goesOn = last !== undefined && part.total >= last.total;
    sum.total += part.total - (goesOn ? last.total : 0);
    sum.bad += part.bad - (goesOn && part.bad >= last.bad ? last.bad : 0);
  }
  return sum;
}

/**
 * Whole numbers, with what is left over carried into the next window: rounding each by itself would lose one bad
 * request in three for ever where a window has 0.3 of one. Good and bad are rounded, so that bad never exceeds total.
 */
function rounded(
  { total, bad }: Counts,
  rest: MetricMemory['rest'],
  memory: Omit<MetricMemory, 'rest'>,
): WindowOutcome {
  const badOnes = bad + rest.bad;
  const goodOnes = Math.max(0, total - bad) + rest.good;
  const window = { bad: Math.floor(badOnes + 0.5), good: Math.floor(goodOnes + 0.5) };
  return {
    window: { total: window.good + window.bad, bad: window.bad },
    why: null,
    memory: { ...memory, rest: { good: goodOnes - window.good, bad: badOnes - window.bad } },
  };
}
