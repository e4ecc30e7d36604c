import { createHash } from 'node:crypto';
import { SwitchbackError } from '../../messages/index.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from './identifier.ts';
import { searchPath, underOurSettings } from './table-expressions.ts';
import { columnOfTable, type TableShape } from './table-shape.ts';

/**
 * The trigger function that keeps old and new columns of a row in step, as SQL.
 *
 * The plan's expressions stay as they were written: each is evaluated in a block whose variables are named as the
 * plan's columns and hold the row's values, so that a renamed column needs another variable, not another expression.
 */
export interface DualWriteDetail {
  schema: string;
  table: string;
  /** New column to expression over the old side. */
  up: Record<string, string>;
  /** Old column to expression over the new side; null: one way, old to new. */
  down: Record<string, string> | null;
  bothWritten: 'new' | 'old' | 'error';
  /** Our column: NULL not migrated, 0 the old side wrote last, 1 the new side did, 2 and above backfill and repair. */
  marker: string;
  /** Stem of the names of the two triggers; see `triggersOf`. */
  trigger: string;
  /** Our function in the schema `switchback`. */
  function: string;
  /** The plan's column names that are called otherwise now, because `retire` renamed them. */
  renamed: Record<string, string>;
  /** Columns that `up` and `down` read, by the plan's names. */
  upReads: string[];
  downReads: string[];
  /**
   * True where every expression gives the same whatever a client's settings are; else the function sets its own, which
   * costs some µs a write. A detail of an older version doesn't say.
   */
  immutable?: boolean;
  /** Who made it, for the comments; a detail of an older version doesn't say. */
  madeBy?: { migration: string; version: number; step: string };
}
/** What the function is written for, besides the detail: the table as it is now. */
export interface SyncedTable {
  shape: TableShape;
  /** The expression of each generated column that is a source, and the columns it is computed from. */
  generated: ReadonlyMap<string, { expression: string; reads: readonly string[] }>;
  /** Columns whose equality is that of their images: there a plain comparison, many times cheaper, says the same. */
  plain: ReadonlySet<string>;
}

/** One trigger for each event, because INSERT has no row before; one of the two fires for a write. */
export const triggersOf = (detail: Pick<DualWriteDetail, 'trigger'>): { insert: string; update: string } => ({
  insert: `${detail.trigger}_i`,
  update: `${detail.trigger}_u`,
});

interface Sides {
  oldSide: string[];
  newSide: string[];
  /** Columns whose presence in an INSERT says that the old side was given. */
  oldGiven: string[];
}

/** Which columns belong to which side, by the plan's names. One that both directions read belongs to the old side. */
export function sidesOf(detail: DualWriteDetail): Sides {
  const up = Object.keys(detail.up);
  const down = Object.keys(detail.down ?? {});
  const oldSide = unique([...down, ...detail.upReads.filter((name) => !up.includes(name))]);
  const newSide = unique([...up, ...detail.downReads.filter((name) => !oldSide.includes(name))]);
  return { oldSide, newSide, oldGiven: detail.down === null ? oldSide : down };
}
const unique = (names: readonly string[]): string[] => [...new Set(names)];

/** Lines one level deeper. What comes from the plan starts a line of its own and stays as it is: it may hold a string. */
const indented = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);
/** An expression in parentheses. Its last line may be a comment, which would swallow the closing one. */
const inParentheses = (expression: string): string =>
  /\n|--/.test(expression) ? `(\n${expression}\n)` : `(${expression})`;

class FunctionWriter {
  readonly #detail: DualWriteDetail;
  readonly #table: SyncedTable;
  /** Marker of the row after and before the write. */
  readonly after: string;
  readonly before: string;
  constructor(detail: DualWriteDetail, table: SyncedTable) {
    this.#detail = detail;
    this.#table = table;
    this.after = `zz_new.${quoteIdentifier(detail.marker)}`;
    this.before = `zz_old.${quoteIdentifier(detail.marker)}`;
  }

  actual(name: string): string {
    return this.#detail.renamed[name] ?? name;
  }

  /** The stored columns behind these names: a generated one has no value yet when a BEFORE trigger runs. */
  #stored(names: readonly string[]): string[] {
    return unique(names.flatMap((name) => this.#table.generated.get(this.actual(name))?.reads ?? [this.actual(name)]));
  }

  /** True where these columns have another image after the write than before. */
  differs(names: readonly string[]): string {
    return this.#compare(
      this.#stored(names).map((name) => [name, `zz_new.${quoteIdentifier(name)}`, `zz_old.${quoteIdentifier(name)}`]),
      'differ',
    );
  }

  given(names: readonly string[]): string {
    const fields = this.#stored(names).map((name) => `zz_new.${quoteIdentifier(name)}`);
    return `num_nonnulls(${fields.join(', ')}) > 0`;
  }

  /** True where the row already holds the results. */
  holds(direction: 'up' | 'down'): string {
    return this.#compare(
      this.#results(direction).map(({ actual, result }) => [actual, `zz_new.${quoteIdentifier(actual)}`, result]),
      'same',
    );
  }

  /** Compares pairs by image; `column` tells of which type they are. */
  #compare(pairs: readonly (readonly [column: string, left: string, right: string])[], how: 'differ' | 'same'): string {
    const [operator, image, between] =
      how === 'differ' ? ['IS DISTINCT FROM', '*<>', ' OR '] : ['IS NOT DISTINCT FROM', '*=', ' AND '];
    const plain = pairs.filter(([column]) => this.#table.plain.has(column));
    const others = pairs.filter(([column]) => !this.#table.plain.has(column));
    const row = (side: 1 | 2): string => `ROW(${others.map((pair) => pair[side]).join(', ')})::record`;
    const terms = [
      ...plain.map(([, left, right]) => `${left} ${operator} ${right}`),
      ...(others.length === 0 ? [] : [`${row(1)} ${image} ${row(2)}`]),
    ];
    return terms.length === 0 ? String(how === 'same') : terms.join(between);
  }

  #results(direction: 'up' | 'down'): { actual: string; result: string; expression: string }[] {
    return Object.entries(this.#detail[direction] ?? {}).map(([name, expression], index) => ({
      actual: this.actual(name),
      result: `zz_${direction}_${index + 1}`,
      expression,
    }));
  }

  /** Variables that take what `up` or `down` gives, of the columns' own types: so an assignment cast is made. */
  declared(direction: 'up' | 'down'): string[] {
    return this.#results(direction).map(({ actual, result }) => `${result} ${this.#typeOf(actual)};`);
  }

  /** Evaluates `up` or `down` over the row `row` into the result variables. */
  compute(direction: 'up' | 'down', row: 'zz_new' | 'zz_old'): string[] {
    const reads = direction === 'up' ? this.#detail.upReads : this.#detail.downReads;
    const variables = new Map<string, string>();
    for (const name of reads) {
      const actual = this.actual(name);
      const generated = this.#table.generated.get(actual);
      for (const source of generated?.reads ?? []) variables.set(source, `${row}.${quoteIdentifier(source)}`);
      variables.set(
        name,
        generated === undefined ? `${row}.${quoteIdentifier(actual)}` : inParentheses(generated.expression),
      );
    }
    return [
      `<<${quoteIdentifier(this.#detail.table)}>>`,
      ...(variables.size === 0 ? [] : ['DECLARE']),
      ...indented(
        [...variables].map(
          ([name, value]) => `${quoteIdentifier(name)} ${this.#typeOf(this.actual(name))} := ${value};`,
        ),
      ),
      'BEGIN',
      ...indented(
        this.#results(direction).map(({ result, expression }) => `${result} := ${inParentheses(expression)};`),
      ),
      'END;',
    ];
  }

  /** Takes the results into the row. */
  take(direction: 'up' | 'down'): string[] {
    return this.#results(direction).map(({ actual, result }) => `zz_new.${quoteIdentifier(actual)} := ${result};`);
  }

  /** Takes those results of `up` whose column the client left alone. */
  overlay(): string[] {
    return this.#results('up').flatMap(({ actual, result }) => [
      `IF ${this.#compare([[actual, `zz_new.${quoteIdentifier(actual)}`, `zz_old.${quoteIdentifier(actual)}`]], 'same')} THEN`,
      `  zz_new.${quoteIdentifier(actual)} := ${result};`,
      'END IF;',
    ]);
  }

  mark(value: 0 | 1): string {
    return `${this.after} := ${value};`;
  }

  #typeOf(actual: string): string {
    const { type, collation } = columnOfTable(this.#table.shape, actual);
    return collation === null ? type : `${type} COLLATE ${collation}`;
  }
}

/** CREATE OR REPLACE FUNCTION for the detail, over the table as it is now. */
export function dualWriteFunction(detail: DualWriteDetail, table: SyncedTable): string {
  const writer = new FunctionWriter(detail, table);
  const body = [
    '',
    ...header(detail),
    'DECLARE',
    // Other names for the two rows: a column may be called "new", and a variable of its name would hide the row.
    '  zz_new ALIAS FOR new;',
    '  zz_old ALIAS FOR old;',
    '  zz_old_written boolean;',
    '  zz_new_written boolean;',
    ...indented([...writer.declared('up'), ...writer.declared('down')]),
    'BEGIN',
    "  IF tg_op = 'INSERT' THEN",
    ...indented(indented(inserted(detail, writer))),
    '  ELSE',
    ...indented(indented(updated(detail, writer))),
    '  END IF;',
    '  IF zz_new_written AND zz_old_written THEN',
    ...indented(indented(bothWritten(detail, writer))),
    '  ELSIF zz_new_written THEN',
    ...indented(indented(newWritten(detail, writer))),
    '  ELSIF zz_old_written THEN',
    ...indented(indented([...writer.compute('up', 'zz_new'), ...writer.take('up'), writer.mark(0)])),
    '  END IF;',
    '  RETURN zz_new;',
    'END',
  ].join('\n');
  return `CREATE OR REPLACE FUNCTION ${quoteTable('switchback', detail.function)}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ${searchPath(detail.schema)}${detail.immutable === true ? '' : underOurSettings()} AS ${dollarQuote(body)}`;
}

/** Whose function it is, for who finds it. Names are printed as JSON, so that none leaves its comment. */
function header(detail: DualWriteDetail): string[] {
  const { oldSide, newSide } = sidesOf(detail);
  const names = (of: readonly string[]): string => of.map((name) => JSON.stringify(name)).join(', ') || 'none';
  const way = detail.down === null ? 'the new side follows the old one' : 'each side follows the other';
  return [
    `-- Switchback: ${summary(detail)}`,
    `-- Old side: ${names(oldSide)}. New side: ${names(newSide)}; ${way}. Where one write gives both: ${detail.bothWritten}.`,
    `-- Marker ${JSON.stringify(detail.marker)}: NULL not migrated, 0 derived from the old side, 1 the new side was written last,`,
    '-- 2 and above in step by the backfill or by a repair. Function, triggers and marker go when the step is undone.',
  ];
}

/** `migration "split" version 1, step "sync" keeps columns of "public"."users" in step`, on one line. */
const summary = ({ madeBy, schema, table }: DualWriteDetail): string =>
  `${madeBy === undefined ? 'a migration' : `migration ${JSON.stringify(madeBy.migration)} version ${madeBy.version}, step ${JSON.stringify(madeBy.step)}`} keeps columns of ${JSON.stringify(schema)}.${JSON.stringify(table)} in step`;

/** A row that moves to another partition is inserted there with the marker it has: it says who wrote it last. */
function inserted(detail: DualWriteDetail, writer: FunctionWriter): string[] {
  const { oldGiven } = sidesOf(detail);
  const given = oldGiven.length === 0 ? [] : [writer.given(oldGiven)];
  return [
    `zz_new_written := ${writer.given(Object.keys(detail.up))} OR coalesce(${writer.after} = 1, false);`,
    `zz_old_written := ${['NOT zz_new_written', ...given, `coalesce(${writer.after} <> 1, false)`].join(' OR ')};`,
  ];
}

function updated(detail: DualWriteDetail, writer: FunctionWriter): string[] {
  const { oldSide, newSide } = sidesOf(detail);
  const { before, after } = writer;
  return [
    `zz_old_written := ${writer.differs(oldSide)};`,
    `IF ${after} IS DISTINCT FROM ${before} THEN`,
    '  -- A repair leaves the old side alone and writes the marker’s next value: it is let by. Every other marker comes',
    '  -- from a client that writes back a whole row it read earlier: the newer marker stays.',
    `  IF NOT zz_old_written AND ${after} = ${nextMarker(before)} THEN`,
    '    RETURN zz_new;',
    '  END IF;',
    `  ${after} := ${before};`,
    'END IF;',
    `zz_new_written := ${writer.differs(newSide)};`,
    `IF ${before} IS NULL THEN`,
    '  -- Not migrated yet: first what the row was, over it what the client has changed.',
    ...indented([...writer.compute('up', 'zz_old'), ...writer.overlay(), writer.mark(0)]),
    'END IF;',
  ];
}

/** What the backfill (from NULL) and repairs write; NULL after 1, where a client wrote the new side: that isn't repaired. */
const nextMarker = (before: string): string =>
  // In parentheses, because PL/pgSQL ends an IF at the first THEN outside of any.
  `(CASE WHEN ${before} IS NULL THEN 2 WHEN ${before} = 0 THEN 3 WHEN ${before} > 1 THEN ${before} + 1 END)`;

const newWritten = (detail: DualWriteDetail, writer: FunctionWriter): string[] => [
  ...(detail.down === null ? [] : [...writer.compute('down', 'zz_new'), ...writer.take('down')]),
  writer.mark(1),
];

/** Both sides came in one write: what agrees in either direction is kept, else the plan's `bothWritten` decides. */
function bothWritten(detail: DualWriteDetail, writer: FunctionWriter): string[] {
  const decided = {
    new: [...(detail.down === null ? [] : writer.take('down')), writer.mark(1)],
    old: [...writer.take('up'), writer.mark(0)],
    error: [
      "RAISE EXCEPTION 'the old and the new columns were written with values that do not belong together'",
      "  USING ERRCODE = 'integrity_constraint_violation', HINT = 'write one side only; the other one follows', TABLE = tg_table_name, SCHEMA = tg_table_schema;",
    ],
  }[detail.bothWritten];
  const otherwise =
    detail.down === null
      ? // One way there is nothing that the new side could agree with: a row that moved says so by its marker.
        [`IF tg_op = 'INSERT' AND ${writer.after} = 1 THEN`, '  NULL;', 'ELSE', ...indented(decided), 'END IF;']
      : [
          ...writer.compute('down', 'zz_new'),
          `IF ${writer.holds('down')} THEN`,
          `  ${writer.mark(1)}`,
          'ELSE',
          ...indented(decided),
          'END IF;',
        ];
  return [
    ...writer.compute('up', 'zz_new'),
    `IF ${writer.holds('up')} THEN`,
    `  ${writer.mark(0)}`,
    'ELSE',
    ...indented(otherwise),
    'END IF;',
  ];
}

/** CREATE TRIGGER for both events on one table: the detail's own, or an heir of it. */
export function dualWriteTriggers(detail: DualWriteDetail, on: { schema: string; table: string }): string[] {
  const marker = quoteIdentifier(detail.marker);
  const { insert, update } = triggersOf(detail);
  const table = quoteTable(on.schema, on.table);
  const call = `EXECUTE FUNCTION ${quoteTable('switchback', detail.function)}()`;
  // Postgres reads a WHEN anew for every statement, 2 µs a node: it is kept to what lets the rows of a backfill's chunk
  // by without a call. All else is seen in the function.
  const when = `old.${marker} IS NOT NULL OR new.${marker} IS DISTINCT FROM 2`;
  return [
    `CREATE TRIGGER ${quoteIdentifier(insert)} BEFORE INSERT ON ${table} FOR EACH ROW ${call}`,
    `CREATE TRIGGER ${quoteIdentifier(update)} BEFORE UPDATE ON ${table} FOR EACH ROW WHEN (${when}) ${call}`,
  ];
}

/** COMMENT ON each of what is made: who looks at the table learns whose it is. */
export function dualWriteComments(detail: DualWriteDetail, on: readonly { schema: string; table: string }[]): string[] {
  const text = quoteLiteral(`Switchback: ${summary(detail)}`);
  const { insert, update } = triggersOf(detail);
  const columns = `${quoteTable(detail.schema, detail.table)}.${quoteIdentifier(detail.marker)}`;
  return [
    `COMMENT ON FUNCTION ${quoteTable('switchback', detail.function)}() IS ${text}`,
    `COMMENT ON COLUMN ${columns} IS ${quoteLiteral(`Switchback: ${summary(detail)}; NULL not migrated, 0 derived from the old side, 1 the new side was written last, 2 and above in step by backfill or repair`)}`,
    ...on.flatMap(({ schema, table }) =>
      [insert, update].map(
        (trigger) => `COMMENT ON TRIGGER ${quoteIdentifier(trigger)} ON ${quoteTable(schema, table)} IS ${text}`,
      ),
    ),
  ];
}

/** Quotes a body with a tag that it doesn't contain. */
export function dollarQuote(body: string): string {
  const tag = `$zz_${createHash('sha256').update(body).digest('hex').slice(0, 12)}$`;
  if (body.includes(tag))
    throw new SwitchbackError('StatementFailed', 'an expression holds the quote of the function around it');
  return `${tag}${body}\n${tag}`;
}
