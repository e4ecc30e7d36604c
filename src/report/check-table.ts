import {
  count,
  type CheckedLock,
  type CheckedRun,
  type CheckedStatement,
  type CheckedWork,
  type LiveCheck,
  type StepCheck,
} from '../messages/index.ts';
import type { Paint } from './paint.ts';
import { columnsOf, fit, oneLine, pad, wrap } from './plain-text.ts';

/** The statements of a plan's `ddl` steps as a table: locks, for how long, on what, who waits, and what really runs. */
export function statementLines({ databases }: Pick<LiveCheck, 'databases'>, width: number, paint: Paint): string[] {
  return databases.flatMap(({ name, version, steps }) =>
    steps.length === 0 ? [] : ['', paint('strong', `${name} (Postgres ${version})`), ...stepLines(steps, width, paint)],
  );
}

const HEAD = ['lock', 'held', 'on', 'rows', 'MiB', 'who waits'] as const;
const ON_COLUMNS_MAX = 32;
const INDENT = 6;
const GAP = 2;

/** Each statement on a line of its own, what it locks below it: in columns where there is room, else in words. */
function stepLines(steps: readonly StepCheck[], width: number, paint: Paint): string[] {
  const runs = steps.flatMap(({ statements }) => statements.flatMap((statement) => statement.runs));
  const rows = [HEAD, ...runs.flatMap((run) => grouped(run).map(cells))];
  const widths = HEAD.map((_, i) => Math.max(...rows.map((row) => columnsOf(row[i] ?? ''))));
  const fits = INDENT + widths.reduce((sum, columns) => sum + columns + GAP, -GAP) <= width;
  const row = (values: readonly string[]): string =>
    `${' '.repeat(INDENT)}${values.map((value, i) => pad(value, widths[i] ?? 0)).join(' '.repeat(GAP))}`.trimEnd();
  const locks = (run: CheckedRun): string[] => {
    const held = grouped(run);
    if (held.length === 0) return [paint('dim', `${' '.repeat(INDENT)}locks nothing that is in use`)];
    return fits ? held.map((lock) => row(cells(lock))) : held.flatMap((lock) => words(lock, width));
  };
  return [
    ...(fits && rows.length > 1 ? [paint('dim', row(HEAD))] : []),
    ...steps.flatMap(({ phase, step, statements }) => [
      `  ${paint('active', fit(`${phase}/${step}`, width - 2))}`,
      ...statements.flatMap((statement) => statementWithRuns(statement, { width, paint, locks })),
    ]),
  ];
}

/** What runs in place of a statement stands below it, with why; then how a rollback takes it back. */
function statementWithRuns(
  { number, text, runs, safeForm, rollback }: CheckedStatement,
  { width, paint, locks }: { width: number; paint: Paint; locks: (run: CheckedRun) => string[] },
): string[] {
  const written = fit(`  ${number} ${oneLine(text)}`, width);
  const back = wrap(`rollback: ${rollback ?? 'needs a `down`'}`, Math.max(20, width - 4)).map((line) =>
    paint('dim', `    ${line}`),
  );
  if (safeForm === null) return [written, ...runs.flatMap(locks), ...back];
  const why = wrap(`runs in its safe form: ${oneLine(safeForm)}`, Math.max(20, width - 4));
  return [
    written,
    ...why.map((line) => paint('dim', `    ${line}`)),
    ...runs.flatMap((run) => [fit(`    → ${oneLine(run.text)}`, width), ...locks(run)]),
    ...back,
  ];
}

interface Held extends Pick<CheckedLock, 'mode' | 'held'> {
  /** `users`, `orders, users`, or `events and 3 more`. */
  on: string;
  /** `writers`, or `nobody yet` where all of them are made by the plan. */
  waits: CheckedLock['waits'] | 'nobody yet';
  work: { rows: number | null; bytes: number } | null;
}

/** Locks of one kind together: a partitioned table has them on hundreds of partitions. */
function grouped({ locks, rewrites, scans }: CheckedRun): Held[] {
  const groups = new Map<string, CheckedLock[]>();
  for (const lock of locks) {
    const key = JSON.stringify([lock.mode, lock.held, lock.fresh === true]);
    groups.set(key, [...(groups.get(key) ?? []), lock]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const { mode, held } = first;
    const waits = first.fresh === true ? 'nobody yet' : first.waits;
    const work = held === 'moment' ? null : workOn(group, held === 'rewrite' ? rewrites : scans);
    return [{ mode, held, waits, on: relationNames(group), work }];
  });
}

function workOn(locks: readonly CheckedLock[], works: readonly CheckedWork[]): Held['work'] {
  const of = new Set(locks.map(({ schema, relation }) => JSON.stringify([schema, relation])));
  const touched = works.filter(({ schema, relation }) => of.has(JSON.stringify([schema, relation])));
  if (touched.length === 0) return null;
  return touched.reduce<{ rows: number | null; bytes: number }>(
    (sum, { rows, bytes }) => ({
      rows: rows === null || sum.rows === null ? null : sum.rows + rows,
      bytes: sum.bytes + bytes,
    }),
    { rows: 0, bytes: 0 },
  );
}

/** Two are both named, as the tables of a foreign key are, where there is room for them. */
function relationNames(of: readonly CheckedLock[]): string {
  const [first = '', ...others] = of.map(relationName);
  const both = [first, ...others].join(', ');
  if (others.length <= 1 && columnsOf(both) <= ON_COLUMNS_MAX) return both;
  return others.length === 0 ? first : `${first} and ${others.length} more`;
}

const relationName = ({ schema, relation }: { schema: string; relation: string }): string =>
  oneLine(schema === 'public' ? relation : `${schema}.${relation}`);

const MIB = 1024 * 1024;
const rowsOf = ({ rows }: { rows: number | null }): string => (rows === null ? '?' : count(rows));
const mebibytes = ({ bytes }: { bytes: number }): string => (bytes > 0 && bytes < MIB ? '<1' : count(bytes / MIB));

const cells = ({ mode, held, on, work, waits }: Held): string[] => [
  mode,
  held,
  fit(on, ON_COLUMNS_MAX),
  work === null ? '' : rowsOf(work),
  work === null ? '' : mebibytes(work),
  waits,
];

const HELD_WORDS = { moment: 'for a moment', scan: 'while it is read through', rewrite: 'while it is rewritten' };

function words({ mode, held, on, work, waits }: Held, width: number): string[] {
  const rows = work === null ? '' : work.rows === null ? 'rows not counted' : `${rowsOf(work)} rows`;
  const size = work === null ? '' : ` (${rows}, ${mebibytes(work)} MiB)`;
  const who =
    waits === 'nobody yet'
      ? 'nobody uses it yet'
      : waits === 'nobody'
        ? 'nobody waits'
        : `${waits} ${waits === 'DDL' ? 'waits' : 'wait'}`;
  return wrap(`${mode} on ${on} ${HELD_WORDS[held]}${size}; ${who}`, Math.max(20, width - INDENT)).map(
    (line) => ' '.repeat(INDENT) + line,
  );
}
