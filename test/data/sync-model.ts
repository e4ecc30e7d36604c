/** What a dual write does to a row, said a second time and without SQL: the model that the triggers are held to. */
export type Cells = Readonly<Record<string, string | null>>;
export interface Way {
  name: string;
  up: Record<string, string>;
  down: Record<string, string> | null;
  oldSide: readonly string[];
  newSide: readonly string[];
  upOf(row: Cells): Cells;
  downOf(row: Cells): Cells;
  /** Rows move between partitions. */
  partitioned?: boolean;
}
export type BothWritten = 'new' | 'old' | 'error';
export interface Person {
  cells: Cells;
  marker: number | null;
  region: string;
}

const text = (value: string | null | undefined): string | null => value ?? null;
const space = (name: string): number => name.indexOf(' ');

export const WAYS: readonly Way[] = [
  {
    name: 'lossless',
    up: {
      first: "split_part(name, ' ', 1)",
      rest: "CASE WHEN strpos(name, ' ') > 0 THEN substr(name, strpos(name, ' ') + 1) END",
    },
    down: { name: "first || coalesce(' ' || rest, '')" },
    oldSide: ['name'],
    newSide: ['first', 'rest'],
    upOf: ({ name }) => ({
      first: name == null ? null : text(name.split(' ')[0]),
      rest: name == null || space(name) < 0 ? null : name.slice(space(name) + 1),
    }),
    downOf: ({ first, rest }) => ({ name: first == null ? null : first + (rest == null ? '' : ` ${rest}`) }),
  },
  {
    name: 'lossy',
    up: { code: 'lower(label)' },
    down: { label: 'upper(code)' },
    oldSide: ['label'],
    newSide: ['code'],
    upOf: ({ label }) => ({ code: text(label?.toLowerCase()) }),
    downOf: ({ code }) => ({ label: text(code?.toUpperCase()) }),
  },
  {
    name: 'lossy between partitions',
    partitioned: true,
    up: { code: "coalesce(label, 'none')" },
    down: { label: 'upper(code)' },
    oldSide: ['label'],
    newSide: ['code'],
    upOf: ({ label }) => ({ code: label ?? 'none' }),
    downOf: ({ code }) => ({ label: text(code?.toUpperCase()) }),
  },
  {
    name: 'two into one',
    up: { ab: 'a || b' },
    down: { a: 'left(ab, 1)', b: 'substr(ab, 2)' },
    oldSide: ['a', 'b'],
    newSide: ['ab'],
    upOf: ({ a, b }) => ({ ab: a == null || b == null ? null : a + b }),
    downOf: ({ ab }) => ({ a: text(ab?.slice(0, 1)), b: text(ab?.slice(1)) }),
  },
  {
    name: 'one way',
    up: { code: "coalesce(label, 'none')" },
    down: null,
    oldSide: ['label'],
    newSide: ['code'],
    upOf: ({ label }) => ({ code: label ?? 'none' }),
    downOf: () => ({}),
  },
];

const same = (names: readonly string[], left: Cells, right: Cells): boolean =>
  names.every((name) => (left[name] ?? null) === (right[name] ?? null));

/** The row after an INSERT that gives these cells; `marker` is one that came along, as from another partition. */
export function inserted(way: Way, both: BothWritten, given: Person): Person | 'refused' {
  const { cells, marker } = given;
  const has = (names: readonly string[]): boolean => names.some((name) => cells[name] != null);
  const newGiven = has(way.newSide) || marker === 1;
  const oldGiven = !newGiven || has(way.oldSide) || (marker !== null && marker !== 1);
  if (newGiven && oldGiven) {
    const moved = way.down === null && marker === 1 && !same(way.newSide, cells, way.upOf(cells));
    return moved ? given : bothGiven(way, both, given);
  }
  return newGiven ? fromNew(way, given) : fromOld(way, given);
}

const fromOld = (way: Way, row: Person): Person => ({
  ...row,
  cells: { ...row.cells, ...way.upOf(row.cells) },
  marker: 0,
});
const fromNew = (way: Way, row: Person): Person => ({
  ...row,
  cells: { ...row.cells, ...(way.down === null ? {} : way.downOf(row.cells)) },
  marker: 1,
});

function bothGiven(way: Way, both: BothWritten, row: Person): Person | 'refused' {
  if (same(way.newSide, row.cells, way.upOf(row.cells))) return { ...row, marker: 0 };
  if (way.down !== null && same(way.oldSide, row.cells, way.downOf(row.cells))) return { ...row, marker: 1 };
  if (both === 'error') return 'refused';
  return both === 'new' ? fromNew(way, row) : fromOld(way, row);
}

export const nextMarker = (marker: number | null): number | null =>
  marker === null ? 2 : marker === 0 ? 3 : marker > 1 ? marker + 1 : null;

/** The row after an UPDATE that sets these; `marker` only where a client writes back a whole row. */
export function updated(
  way: Way,
  both: BothWritten,
  row: Person,
  set: { cells: Cells; region?: string; marker?: number | null },
): Person | 'refused' {
  const written = { ...row.cells, ...set.cells };
  const region = set.region ?? row.region;
  const oldWritten = !same(way.oldSide, written, row.cells);
  const newWritten = !same(way.newSide, written, row.cells);
  const given = set.marker === undefined ? row.marker : set.marker;
  if (given !== row.marker && !oldWritten && given !== null && given === nextMarker(row.marker)) {
    const letBy = { cells: written, marker: given, region };
    return region === row.region ? letBy : inserted(way, both, letBy);
  }
  const kept = Object.fromEntries(
    Object.entries(way.upOf(row.cells)).map(([name, value]) => [
      name,
      (written[name] ?? null) === (row.cells[name] ?? null) ? value : (written[name] ?? null),
    ]),
  );
  const base: Person =
    row.marker === null
      ? { cells: { ...written, ...kept }, marker: 0, region }
      : { cells: written, marker: row.marker, region };
  const after = afterUpdate(way, both, base, { oldWritten, newWritten });
  // Between partitions a row is inserted anew.
  return after === 'refused' || region === row.region ? after : inserted(way, both, after);
}

function afterUpdate(
  way: Way,
  both: BothWritten,
  base: Person,
  { oldWritten, newWritten }: { oldWritten: boolean; newWritten: boolean },
): Person | 'refused' {
  if (newWritten && oldWritten) return bothGiven(way, both, base);
  if (newWritten) return fromNew(way, base);
  return oldWritten ? fromOld(way, base) : base;
}

/** What must hold of every row that is in step, whoever wrote it. */
export function inStep(way: Way, { cells, marker }: Person): boolean {
  if (marker === null) return false;
  if (marker !== 1) return same(way.newSide, cells, way.upOf(cells));
  return way.down === null || same(way.oldSide, cells, way.downOf(cells));
}
