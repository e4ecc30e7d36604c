/** Figures of gates as people read them. */

/** `12,400`; a fraction is rounded. */
export const countWords = (value: number): string => Math.round(value).toLocaleString('en-US');

/** `1.8 %`, `0.012 %`, `100 %`: two significant digits. */
export const rateWords = (rate: number): string =>
  `${(100 * rate).toLocaleString('en-US', { maximumSignificantDigits: 2 })} %`;

/** `1.5`, `12`, `0.031`: two significant digits. */
export const ratioWords = (ratio: number): string => ratio.toLocaleString('en-US', { maximumSignificantDigits: 2 });

/** Rounded down, so that what is short of what is needed never reads as enough: `37`, `3.1`, `0.04`. */
export function evidenceWords(evidence: number): string {
  if (evidence >= 1e6) return 'over a million';
  const digits = evidence >= 10 ? 0 : evidence >= 1 ? 1 : 2;
  const shown = Math.floor(evidence * 10 ** digits + 1e-9) / 10 ** digits;
  return shown === 0 ? 'almost none' : shown.toLocaleString('en-US');
}

const UNITS = [
  { ms: 86_400_000, word: 'd' },
  { ms: 3_600_000, word: 'h' },
  { ms: 60_000, word: 'm' },
] as const;
const TENTHS_BELOW = 10;

/** `40 s`, `15 m`, `2.5 h`, `14 d`, rounded up to a tenth below ten of a unit, else to the unit: a time to wait. */
export function timeWords(ms: number): string {
  const unit = UNITS.find((one) => ms >= one.ms);
  if (unit === undefined) return `${Math.ceil(ms / 1000)} s`;
  const value = ms / unit.ms;
  const shown = value < TENTHS_BELOW ? Math.ceil(value * 10 - 1e-9) / 10 : Math.ceil(value - 1e-9);
  return `${shown.toLocaleString('en-US')} ${unit.word}`;
}

/** `71,000`, `4,700`, `950`: two significant digits; a fraction is rounded up to 1. */
export const aboutWords = (value: number): string =>
  Math.max(1, Math.round(value)).toLocaleString('en-US', { maximumSignificantDigits: 2 });
