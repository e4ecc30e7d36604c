/**
 * Text from plans, databases and people on its way to a terminal: no control character gets through (an escape sequence
 * in a refused message could rewrite the screen), and widths are counted as terminals count them.
 */
const CONTROL = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]/gu;
const WIDE =
  /\p{Extended_Pictographic}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;
const NO_WIDTH = /^(?:\p{Mn}|\p{Me}|\p{Cf})+$/u;
const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** The text on one line, without control characters. */
export const oneLine = (text: string): string =>
  text
    .replace(/[\s\u2028\u2029]+/gu, ' ')
    .replace(CONTROL, '')
    .trim();

/** How many columns a text takes (no escape sequences in it). */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const { segment } of graphemes.segment(text)) columns += NO_WIDTH.test(segment) ? 0 : WIDE.test(segment) ? 2 : 1;
  return columns;
}

/** The text cut to `columns`, with an ellipsis where something was cut. */
export function fit(text: string, columns: number): string {
  if (columns <= 0) return '';
  if (columnsOf(text) <= columns) return text;
  let kept = '';
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    const width = columnsOf(segment);
    if (used + width > columns - 1) break;
    kept += segment;
    used += width;
  }
  return `${kept}…`;
}

export const pad = (text: string, columns: number): string => text + ' '.repeat(Math.max(0, columns - columnsOf(text)));

/** The text in lines of at most `columns`, broken at spaces where there are any. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (columnsOf(longer) <= columns) {
      line = longer;
      continue;
    }
    if (line !== '') lines.push(line);
    line = word;
  }
  if (line !== '') lines.push(line);
  return lines;
}

/** An argument as it is typed: names and gates as they are, whatever else came is quoted for the shell. */
export const shellArgument = (text: string): string =>
  /^[\w./@:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
