import { type AlteredRange, type Audit, counted, type RowAudit } from '../messages/index.ts';
import { instant } from './figures.ts';
import { oneLine } from './plain-text.ts';

/** An audit as people read it: of the migration, or of one row where that was asked for. */
export function auditText(audit: Audit): string {
  const lines = audit.row === null ? ofMigration(audit) : ofRow(audit.row, audit.name);
  const unread = audit.unread.map(({ database, reason }) => `could not read ${database}: ${oneLine(reason)}`);
  return [...lines, ...unread].join('\n');
}

function ofMigration(audit: Audit): string[] {
  const { name, version, epoch, state, owner, requestedBy } = audit;
  const when = `started ${instant(audit.startedAt)}${audit.endedAt === null ? '' : `, ended ${instant(audit.endedAt)}`}`;
  return [
    `${oneLine(name)} version ${version}, epoch ${epoch}: ${state}`,
    `owner ${oneLine(owner)}, requested by ${oneLine(requestedBy)}, ${when}`,
    '',
    'Decisions and events',
    ...leftOut(audit.decisionsLeftOut),
    ...orNone(
      audit.decisions.map((one) =>
        words(
          instant(one.at),
          runWords(one),
          one.type,
          one.by === null ? '' : `by ${oneLine(one.by)}${one.identity === null ? '' : ` (${one.identity})`}`,
          dataWords(one.data),
        ),
      ),
    ),
    '',
    'Altered ranges',
    ...leftOut(audit.rangesLeftOut),
    ...orNone(audit.ranges.map((range) => rangeWords(range, { migration: false }))),
  ];
}

function ofRow(row: RowAudit, name: string): string[] {
  const of = `${row.database}/${row.schema}.${row.table}`;
  const section = (heading: string, lines: string[]): string[] => (lines.length === 0 ? [] : ['', heading, ...lines]);
  return [
    `key ${oneLine(row.key)} of ${of}: ${row.exists ? 'the row is there' : 'there is no such row now'}`,
    '',
    'Changed by, oldest first',
    ...orNone(
      row.changes.map((change) => words(rangeWords(change, { migration: true }), SURENESS[change.sure])),
      `no migration that is on record has changed it, ${oneLine(name)} included`,
    ),
    ...section(
      'Kept in step by',
      row.markers.map((one) => words('', one.migration, one.step, one.words)),
    ),
    ...section(
      'Set aside, because it could not be changed',
      row.setAside.map((one) =>
        words(instant(one.at), oneLine(one.migration), runWords(one), one.step, oneLine(one.reason)),
      ),
    ),
    ...section(
      'What it held before is kept (switchback.before_images)',
      row.beforeImages.map((one) => words(instant(one.at), oneLine(one.migration), runWords(one), one.step)),
    ),
    ...section(
      'Values that a rollback copied (switchback.rescued)',
      row.rescued.map((one) =>
        words(
          instant(one.at),
          oneLine(one.migration),
          runWords(one),
          one.step,
          one.column === '' ? 'the whole row' : `column ${oneLine(one.column)}`,
        ),
      ),
    ),
  ];
}

const SURENESS: Record<RowAudit['changes'][number]['sure'], string> = {
  'this-row': 'this row alone',
  'in-range': '',
  maybe: 'perhaps: the range is of another key',
};
const words = (...parts: string[]): string => parts.filter((part) => part !== '').join('  ');
const orNone = (lines: string[], none = 'none'): string[] => (lines.length === 0 ? [none] : lines);
const leftOut = (number: number): string[] => (number === 0 ? [] : [`… ${counted(number, 'older one')} left out`]);
const runWords = ({ version, epoch }: { version: number; epoch: number }): string => `v${version}/${epoch}`;

/** What an event is about comes first, what was said of it last: it may be long, and have commas. */
const FIRST = ['step', 'phase', 'gate', 'what', 'code'];
const LAST = ['reason', 'comment', 'note', 'message'];
const place = (key: string): number =>
  FIRST.includes(key) ? FIRST.indexOf(key) - FIRST.length : LAST.indexOf(key) + 1;

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === 'string');

/** `step fill, note 120,000 rows changed`: what an event of the audit carries. */
export const dataWords = (data: Record<string, unknown>): string =>
  oneLine(
    Object.entries(data)
      .map(([key, value]): [string, unknown] => [key, isTexts(value) ? value.join(', ') : value])
      .filter(([, value]) => value !== null && value !== '' && value !== false)
      .toSorted(([one], [other]) => place(one) - place(other))
      .map(([key, value]) => `${key} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
      .join(', '),
  );

/** `2026-…Z  v1/1  fill  backfill  app/public.users  keys after 10 up to 20  10 rows of 10 keys  digest 0f… → 3a…  by ana`. */
export function rangeWords(range: AlteredRange, { migration }: { migration: boolean }): string {
  return words(
    instant(range.at),
    migration ? oneLine(range.migration) : '',
    runWords(range),
    range.step,
    range.direction === 'down' ? `${range.kind} (undo)` : range.kind,
    `${range.database}/${range.schema}.${range.table}`,
    keyWords(range),
    rowWords(range),
    digestWords(range),
    range.by === null ? '' : `by ${oneLine(range.by)}`,
  );
}

export function keyWords({ lower, upper }: Pick<AlteredRange, 'lower' | 'upper'>): string {
  if (lower === null && upper === null) return 'all keys';
  if (lower === upper) return `key ${oneLine(lower ?? '')}`;
  return `keys${lower === null ? '' : ` after ${oneLine(lower)}`}${upper === null ? '' : ` up to ${oneLine(upper)}`}`;
}

const rowWords = ({ rows, keys }: AlteredRange): string => {
  const number = (text: string): string => BigInt(text).toLocaleString('en-US');
  return `${number(rows)} ${rows === '1' ? 'row' : 'rows'}${keys === null ? '' : ` of ${number(keys)} keys`}`;
};

export const digestWords = ({ before, after }: Pick<AlteredRange, 'before' | 'after'>): string =>
  before === null && after === null ? '' : `digest ${digest(before)} → ${digest(after)}`;
/** A bigint's 64 bits in hex. */
const digest = (text: string | null): string =>
  text === null ? '?' : BigInt.asUintN(64, BigInt(text)).toString(16).padStart(16, '0');
