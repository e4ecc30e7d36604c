import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A fenced block of a page, with the comment above it that says how it is tested (docs/README.md lists them). */
export interface Block {
  page: string;
  /** Of the fence, counted from 1. */
  line: number;
  language: string;
  /** `run`, `run: exit 2`, `parse`, …; null where there is no comment. */
  mark: string | null;
  text: string;
}

/** All pages, by their path in the checkout. */
export const PAGES: readonly string[] = [
  ...readdirSync('.').filter((name) => name.endsWith('.md')),
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
  ...readdirSync('examples', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('examples', name)),
].sort();

const MARK = /^<!-- (.+) -->$/;

export function blocksOf(page: string): Block[] {
  const lines = readFileSync(page, 'utf8').split('\n');
  const blocks: Block[] = [];
  let open: Block | null = null;
  for (const [index, line] of lines.entries()) {
    if (!line.startsWith('```')) {
      if (open !== null) open.text += `${line}\n`;
      continue;
    }
    if (open !== null) {
      blocks.push(open);
      open = null;
      continue;
    }
    const mark = MARK.exec(lines[index - 1] ?? '')?.[1] ?? null;
    open = { page, line: index + 1, language: line.slice(3).trim(), mark, text: '' };
  }
  if (open !== null) throw new Error(`${page}:${open.line}: the block has no end`);
  return blocks;
}

export const BLOCKS: readonly Block[] = PAGES.flatMap(blocksOf);
export const placeOf = ({ page, line }: Block): string => `${page}:${line}`;
/** A block's commands: a line each, without comments. */
export const commandsOf = ({ text }: Block): string[] =>
  text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
