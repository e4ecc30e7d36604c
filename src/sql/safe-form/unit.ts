/** One statement of a safe form, in a transaction of its own or outside of any. */
export interface SafeUnit {
  text: string;
  /** CONCURRENTLY: it can't be part of a transaction. */
  concurrently: boolean;
  /** Rows are filled chunk by chunk; `text` is what is done to each chunk, without its bounds. */
  fill?: ColumnFill;
}
/** Gives rows that have no value in a column yet its default, a few at a time. */
export interface ColumnFill {
  schema: string;
  table: string;
  column: string;
}
/** What runs in place of a statement, or of a part of one. */
export interface SafeForm {
  units: readonly SafeUnit[];
  /** What it does other than the statement as written, in one sentence. */
  why: string;
  /** Codes of the rules whose danger it avoids. */
  avoids: readonly string[];
}

export const transactional = (text: string): SafeUnit => ({ text, concurrently: false });
export const concurrent = (text: string): SafeUnit => ({ text, concurrently: true });

/** Several forms one after another; null where one of them is missing. */
export function joined(why: string, forms: readonly (Omit<SafeForm, 'why'> | null)[]): SafeForm | null {
  const all = forms.filter((form) => form !== null);
  if (all.length < forms.length) return null;
  return {
    units: all.flatMap(({ units }) => units),
    why,
    avoids: [...new Set(all.flatMap(({ avoids }) => avoids))],
  };
}

/** The units of texts that could all be written; null where one couldn't. */
export function unitsOf(...units: readonly (SafeUnit | string | null)[]): SafeUnit[] | null {
  const all = units.flatMap((unit) => (unit === null ? [] : [typeof unit === 'string' ? transactional(unit) : unit]));
  return all.length === units.length ? all : null;
}
