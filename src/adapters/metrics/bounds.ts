/** A value against `max`, `min` and `equals`, and what people are told about it. */
export interface Bounds {
  max?: number | undefined;
  min?: number | undefined;
  equals?: number | string | boolean | null | undefined;
}
/** What was found when a condition was looked at. */
export interface ConditionReading {
  holds: boolean;
  /** The number found, as text; null where there was none. Other values stay out: they may be people's data. */
  observed: string | null;
  /** One sentence for people: what was found and what would be needed. */
  reason: string;
}
export type Scalar = number | string | boolean | null;

export const hasBounds = ({ max, min, equals }: Bounds): boolean =>
  max !== undefined || min !== undefined || equals !== undefined;

/** A reading that doesn't hold because there is no value to compare. Absence of evidence is not health. */
export const noValue = (reason: string): ConditionReading => ({ holds: false, observed: null, reason });

/** Compares with every bound that is given. A text that isn't a number is never within `max` or `min`. */
export function compare(value: Scalar, bounds: Bounds): ConditionReading {
  const number = numberOf(value);
  const observed = number === null ? null : String(value);
  const shown = observed ?? (value === null ? 'NULL' : typeof value === 'boolean' ? String(value) : 'a text');
  const failed: string[] = [];
  const held: string[] = [];
  const judge = (holds: boolean, yes: string, no: string): void => {
    (holds ? held : failed).push(holds ? yes : no);
  };
  if (bounds.max !== undefined)
    judge(number !== null && number <= bounds.max, `≤ ${bounds.max}`, `not ≤ ${bounds.max}`);
  if (bounds.min !== undefined)
    judge(number !== null && number >= bounds.min, `≥ ${bounds.min}`, `not ≥ ${bounds.min}`);
  if (bounds.equals !== undefined) {
    const wanted = typeof bounds.equals === 'string' ? 'the text that `equals` says' : String(bounds.equals);
    judge(isEqual(value, number, bounds.equals), `= ${wanted}`, `not ${wanted}`);
  }
  const holds = failed.length === 0;
  return { holds, observed, reason: `${shown} ${(holds ? held : failed).join(', ')}` };
}

/** Infinity is a value that can be compared; NaN is none. */
function numberOf(value: Scalar): number | null {
  if (typeof value === 'boolean' || value === null || value === '') return null;
  const number = /^[+-]Inf$/.test(String(value)) ? Number(`${String(value).slice(0, 1)}Infinity`) : Number(value);
  return Number.isNaN(number) ? null : number;
}

/** Postgres answers in text, so `t`, `true` and true are one. */
function isEqual(value: Scalar, number: number | null, wanted: Scalar): boolean {
  if (wanted === null || value === null) return wanted === value;
  if (typeof wanted === 'number') return number === wanted;
  if (typeof wanted === 'boolean') return isTrue(value) === wanted && (isTrue(value) || isFalse(value));
  return String(value) === wanted;
}
export const isTrue = (value: Scalar): boolean => value === true || value === 't' || value === 'true';
const isFalse = (value: Scalar): boolean => value === false || value === 'f' || value === 'false';
