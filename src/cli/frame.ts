import { columnsOf } from '../report/plain-text.ts';

/**
 * Redraws a block of lines in place. The cursor rests on the line below the block; an update goes up to its first line
 * and writes each line over the old one, clearing only what the old one had more. So nothing blinks, and it is one
 * write, marked as one update for terminals that know how to wait for its end (DEC mode 2026).
 */
const ESCAPE = '\u001b[';
const BEGIN = `${ESCAPE}?2026h`;
const END = `${ESCAPE}?2026l`;
export const HIDE_CURSOR = `${ESCAPE}?25l`;
export const SHOW_CURSOR = `${ESCAPE}?25h`;

// biome-ignore lint: escape sequences are what is left out
const COLORS = /\u001b\[[\d;]*m/g;
const widthOf = (line: string): number => columnsOf(line.replace(COLORS, ''));

/** How many rows of a terminal the lines take; what is wider than the terminal wraps. */
export const rowsOf = (lines: readonly string[], columns: number): number =>
  lines.reduce((rows, line) => rows + Math.max(1, Math.ceil(widthOf(line) / columns)), 0);

/** What to write so that `next` stands where `previous` stood, on a terminal that is now `columns` wide. */
export function redraw(previous: readonly string[], next: readonly string[], columns: number): string {
  const up = rowsOf(previous, columns);
  const lines = next.map((line) => {
    const width = widthOf(line);
    // A line that ends at the edge leaves the cursor on its last character: clearing from there would eat it.
    return width > 0 && width % columns === 0 ? `${line}\r\n` : `${line}${ESCAPE}K\r\n`;
  });
  return `${BEGIN}${up > 0 ? `\r${ESCAPE}${up}A` : ''}${lines.join('')}${ESCAPE}J${END}`;
}
