import { describe, expect, it } from 'vitest';
import { redraw, rowsOf } from './frame.ts';

/** As much of a terminal as the frames use: rows, columns that wrap, cursor up, clear to the end of line and screen. */
class Glass {
  readonly columns: number;
  #rows: string[][] = [[]];
  #row = 0;
  #column = 0;
  constructor(columns: number) {
    this.columns = columns;
  }
  write(text: string): void {
    // biome-ignore lint: escape sequences are what is read
    for (const [token] of text.matchAll(/\u001b\[[?\d;]*[A-Za-z]|\r|\n|[^]/gu)) this.#take(token);
  }
  get text(): string[] {
    const lines = this.#rows.map((row) =>
      Array.from(row, (cell) => cell ?? ' ')
        .join('')
        .trimEnd(),
    );
    while (lines.at(-1) === '') lines.pop();
    return lines;
  }
  #take(token: string): void {
    if (token === '\r') this.#column = 0;
    else if (token === '\n') this.#down();
    else if (token.startsWith('\u001b')) this.#obey(token);
    else {
      if (this.#column >= this.columns) {
        this.#column = 0;
        this.#down();
      }
      this.#current()[this.#column] = token;
      this.#column += 1;
    }
  }
  #obey(sequence: string): void {
    if (sequence.endsWith('A')) this.#row = Math.max(0, this.#row - Number(sequence.slice(2, -1)));
    if (sequence.endsWith('K') || sequence.endsWith('J')) this.#current().splice(this.#column);
    if (sequence.endsWith('J')) this.#rows.splice(this.#row + 1);
  }
  #down(): void {
    this.#row += 1;
    this.#rows[this.#row] ??= [];
  }
  #current(): string[] {
    return (this.#rows[this.#row] ??= []);
  }
}

const play = (columns: number, frames: readonly (readonly string[])[]): string[] => {
  const glass = new Glass(columns);
  glass.write('$\r\n');
  let before: readonly string[] = [];
  for (const frame of frames) {
    glass.write(redraw(before, frame, columns));
    before = frame;
  }
  return glass.text;
};

describe('redraw', () => {
  it('puts a frame in the place of the one before and leaves what was above', () => {
    expect(
      play(20, [
        ['one', 'two'],
        ['ONE', 'TWO'],
      ]),
    ).toEqual(['$', 'ONE', 'TWO']);
  });
  it('leaves nothing of a longer line or a taller frame', () => {
    expect(play(20, [['a long line', 'two', 'three'], ['short']])).toEqual(['$', 'short']);
  });
  it('grows', () => {
    expect(play(20, [['one'], ['one', 'two', 'three']])).toEqual(['$', 'one', 'two', 'three']);
  });
  it('counts the rows of lines that wrap', () => {
    expect(
      play(10, [
        ['0123456789abc', 'x'],
        ['0123456789ABC', 'y'],
      ]),
    ).toEqual(['$', '0123456789', 'ABC', 'y']);
  });
  it('keeps the last character of a line that ends at the edge', () => {
    expect(
      play(5, [
        ['12345', 'x'],
        ['abcde', 'y'],
      ]),
    ).toEqual(['$', 'abcde', 'y']);
  });
  it('does not count colours as columns', () => {
    const red = (text: string): string => `\u001b[31m${text}\u001b[0m`;
    expect(rowsOf([red('12345')], 5)).toBe(1);
    expect(
      play(5, [
        [red('12345'), 'x'],
        [red('abc'), 'y'],
      ]),
    ).toEqual(['$', 'abc', 'y']);
  });
});
