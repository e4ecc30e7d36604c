import { createHash } from 'node:crypto';
import { SwitchbackError } from '../../messages/index.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { searchPath } from './table-expressions.ts';
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
}
/** The expression of each generated column that is a source, and the columns it is computed from. */
export type GeneratedSources = ReadonlyMap<string, { expression: string; reads: readonly string[] }>;

/** One trigger for each event, because only an UPDATE's WHEN can see OLD; one of the two fires for a write. */
export const triggersOf = (detail: DualWriteDetail): { insert: string; update: string } => ({
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

class FunctionWriter {
  readonly #detail: DualWriteDetail;
  readonly #shape: TableShape;
  readonly #generated: GeneratedSources;
  constructor(detail: DualWriteDetail, shape: TableShape, generated: GeneratedSources) {
    this.#detail = detail;
    this.#shape = shape;
    this.#generated = generated;
  }

  actual(name: string): string {
    return this.#detail.renamed[name] ?? name;
  }

  /** The stored columns behind these names: a generated one has no value yet when a BEFORE trigger runs. */
  stored(names: readonly string[]): string[] {
    return unique(names.flatMap((name) => this.#generated.get(this.actual(name))?.reads ?? [this.actual(name)]));
  }

  fields(row: string, names: readonly string[]): string {
    return this.stored(names)
      .map((name) => `${row}.${quoteIdentifier(name)}`)
      .join(', ');
  }

  differs(names: readonly string[]): string {
    return `ROW(${this.fields('new', names)})::record *<> ROW(${this.fields('old', names)})::record`;
  }

  given(names: readonly string[]): string {
    return `num_nonnulls(${this.fields('new', names)}) > 0`;
  }

  /** Variables that take what `up` or `down` gives, of the columns' own types: so an assignment cast is made. */
  results(direction: 'up' | 'down'): string {
    return Object.keys(this.#detail[direction] ?? {})
      .map((name, index) => `  zz_${direction}_${index + 1} ${this.#typeOf(this.actual(name))};`)
      .join('\n');
  }

  /** Evaluates `up` or `down` over the row `row` into the result variables. */
  compute(direction: 'up' | 'down', row: 'new' | 'old'): string {
    const reads = direction === 'up' ? this.#detail.upReads : this.#detail.downReads;
    const variables = new Map<string, string>();
    for (const name of reads) {
      const actual = this.actual(name);
      const generated = this.#generated.get(actual);
      for (const source of generated?.reads ?? []) variables.set(source, `${row}.${quoteIdentifier(source)}`);
      variables.set(
        name,
        generated === undefined ? `${row}.${quoteIdentifier(actual)}` : `(\n${generated.expression}\n)`,
      );
    }
    const declared = [...variables].map(
      ([name, value]) => `  ${quoteIdentifier(name)} ${this.#typeOf(this.actual(name))} := ${value};`,
    );
    const assigned = Object.values(this.#detail[direction] ?? {}).map(
      (expression, index) => `  zz_${direction}_${index + 1} := (\n${expression}\n);`,
    );
    return `<<${quoteIdentifier(this.#detail.table)}>>\nDECLARE\n${declared.join('\n')}\nBEGIN\n${assigned.join('\n')}\nEND;`;
  }

  /** Takes the results into the row. */
  take(direction: 'up' | 'down'): string {
    return Object.keys(this.#detail[direction] ?? {})
      .map((name, index) => `new.${quoteIdentifier(this.actual(name))} := zz_${direction}_${index + 1};`)
      .join('\n');
  }

  /** True where the row already holds the results. */
  holds(direction: 'up' | 'down'): string {
    const names = Object.keys(this.#detail[direction] ?? {});
    const results = names.map((_, index) => `zz_${direction}_${index + 1}`).join(', ');
    return `ROW(${names.map((name) => `new.${quoteIdentifier(this.actual(name))}`).join(', ')})::record *= ROW(${results})::record`;
  }

  #typeOf(actual: string): string {
    const { type, collation } = columnOfTable(this.#shape, actual);
    return collation === null ? type : `${type} COLLATE ${collation}`;
  }
}

/** CREATE OR REPLACE FUNCTION for the detail, over the table as it is now. */
export function dualWriteFunction(detail: DualWriteDetail, shape: TableShape, generated: GeneratedSources): string {
  const writer = new FunctionWriter(detail, shape, generated);
  const marker = `new.${quoteIdentifier(detail.marker)}`;
  const oldMarker = `old.${quoteIdentifier(detail.marker)}`;
  const { oldSide, newSide, oldGiven } = sidesOf(detail);
  const overlay = Object.keys(detail.up)
    .map((name, index) => {
      const column = quoteIdentifier(writer.actual(name));
      return `IF ROW(new.${column})::record *= ROW(old.${column})::record THEN new.${column} := zz_up_${index + 1}; END IF;`;
    })
    .join('\n');
  const body = `
DECLARE
  zz_old_written boolean;
  zz_new_written boolean;
${writer.results('up')}
${writer.results('down')}
BEGIN
IF tg_op = 'INSERT' THEN
  zz_new_written := ${writer.given(Object.keys(detail.up))};
  zz_old_written := NOT zz_new_written OR ${writer.given(oldGiven)};
  ${marker} := NULL;
ELSE
  zz_new_written := ${writer.differs(newSide)};
  zz_old_written := ${writer.differs(oldSide)};
  ${marker} := ${oldMarker};
  IF ${oldMarker} IS NULL THEN
${writer.compute('up', 'old')}
${overlay}
    ${marker} := 0;
  END IF;
END IF;
IF zz_new_written AND zz_old_written THEN
${bothWritten(detail, writer, marker)}
ELSIF zz_new_written THEN
${detail.down === null ? '' : `${writer.compute('down', 'new')}\n${writer.take('down')}`}
  ${marker} := 1;
ELSIF zz_old_written THEN
${writer.compute('up', 'new')}
${writer.take('up')}
  ${marker} := 0;
END IF;
RETURN new;
END`;
  return `CREATE OR REPLACE FUNCTION ${quoteTable('switchback', detail.function)}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ${searchPath(detail.schema)} AS ${dollarQuote(body)}`;
}

/** Both sides came in one write: what agrees in either direction is kept, else the plan's `bothWritten` decides. */
function bothWritten(detail: DualWriteDetail, writer: FunctionWriter, marker: string): string {
  const takeNew = `${detail.down === null ? '' : writer.take('down')}\n${marker} := 1;`;
  const takeOld = `${writer.take('up')}\n${marker} := 0;`;
  const clash = `RAISE EXCEPTION 'the old and the new columns were written with values that do not belong together'
    USING ERRCODE = 'integrity_constraint_violation', HINT = 'write one side only; the other one follows', TABLE = tg_table_name, SCHEMA = tg_table_schema;`;
  const decided = { new: takeNew, old: takeOld, error: clash }[detail.bothWritten];
  const downAgrees =
    detail.down === null
      ? ''
      : `${writer.compute('down', 'new')}\nIF ${writer.holds('down')} THEN ${marker} := 1; ELSE`;
  return `${writer.compute('up', 'new')}
IF ${writer.holds('up')} THEN
  ${marker} := 0;
ELSE
${downAgrees}
${decided}
${detail.down === null ? '' : 'END IF;'}
END IF;`;
}

/** CREATE TRIGGER for both events. */
export function dualWriteTriggers(detail: DualWriteDetail, shape: TableShape, generated: GeneratedSources): string[] {
  const writer = new FunctionWriter(detail, shape, generated);
  const { oldSide, newSide } = sidesOf(detail);
  const marker = quoteIdentifier(detail.marker);
  const { insert, update } = triggersOf(detail);
  const table = quoteTable(detail.schema, detail.table);
  const call = `EXECUTE FUNCTION ${quoteTable('switchback', detail.function)}()`;
  // Backfill and repair are let by because they alone write the next value of their own: 2 where there was none, 3 after
  // 0, one more after theirs. A client that writes back a whole row it read earlier brings an older marker along: then
  // the trigger runs and keeps the newer one.
  const next = `CASE WHEN old.${marker} IS NULL THEN 2 WHEN old.${marker} = 0 THEN 3 WHEN old.${marker} > 1 THEN old.${marker} + 1 END`;
  const when = `(new.${marker} IS NOT DISTINCT FROM old.${marker} AND (old.${marker} IS NULL OR ${writer.differs([...oldSide, ...newSide])}))
  OR (new.${marker} IS DISTINCT FROM old.${marker} AND new.${marker} IS DISTINCT FROM (${next}))`;
  return [
    `CREATE TRIGGER ${quoteIdentifier(insert)} BEFORE INSERT ON ${table} FOR EACH ROW ${call}`,
    `CREATE TRIGGER ${quoteIdentifier(update)} BEFORE UPDATE ON ${table} FOR EACH ROW WHEN (${when}) ${call}`,
  ];
}

/** Quotes a body with a tag that it doesn't contain. */
export function dollarQuote(body: string): string {
  const tag = `$zz_${createHash('sha256').update(body).digest('hex').slice(0, 12)}$`;
  if (body.includes(tag))
    throw new SwitchbackError('StatementFailed', 'an expression holds the quote of the function around it');
  return `${tag}${body}\n${tag}`;
}
