import { scanSync } from 'libpg-query';
import type { SqlNode } from '../parser.ts';
import { isNode, listIn } from '../tree.ts';

/** Pieces of a statement's own text, by the tokens of Postgres's scanner: for what the deparser can't write. */
interface Token {
  start: number;
  end: number;
  text: string;
}
const COMMENTS = ['SQL_COMMENT', 'C_COMMENT'];
/** The scanner answers as JSON, and doesn't escape control characters in it; a space is as long. */
const CONTROL = /[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f]/g;
const tokensOf = (sql: string): Token[] =>
  scanSync(sql.replaceAll(CONTROL, ' ')).tokens.filter(({ tokenName }) => !COMMENTS.includes(tokenName));

/** The text with a keyword after the first such keyword: `CREATE INDEX` → `CREATE INDEX CONCURRENTLY`. */
export function withKeyword(sql: string, after: string, keyword: string): string | null {
  const bytes = Buffer.from(sql);
  const token = tokensOf(sql).find(({ text }) => text.toUpperCase() === after);
  if (token === undefined) return null;
  return `${bytes.subarray(0, token.end).toString()} ${keyword}${bytes.subarray(token.end).toString()}`;
}

/** A command of ALTER TABLE with the words it was written in; the tree's places count in the bytes of `statement`. */
export interface WrittenCommand {
  cmd: SqlNode;
  statement: string;
  /** `ALTER TABLE ONLY t`. */
  head: string;
  /** The command's words, and where they begin, in bytes. */
  text: string;
  start: number;
}

/** The commands of an ALTER TABLE with their words; null where they can't be told apart. */
export function writtenCommands(statement: string, { relation, cmds }: SqlNode): WrittenCommand[] | null {
  const bytes = Buffer.from(statement);
  const tokens = tokensOf(statement);
  const place = isNode(relation) ? Number(relation['location'] ?? 0) : -1;
  let at = tokens.findIndex(({ start }) => start === place);
  if (at < 0) return null;
  while (tokens[at + 1]?.text === '.') at += 2;
  if (tokens[at + 1]?.text === '*') at += 1;
  const head = bytes.subarray(0, tokens[at]?.end ?? 0).toString();
  const ranges = rangesBetweenCommas(tokens.slice(at + 1));
  const commands = listIn(cmds);
  if (ranges.length !== commands.length) return null;
  return ranges.map(({ start, end }, index) => {
    const text = bytes.subarray(start, end).toString();
    return { cmd: commands[index] as SqlNode, statement, head, text, start };
  });
}

function rangesBetweenCommas(tokens: readonly Token[]): { start: number; end: number }[] {
  const parts: Token[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    if (token.text === '(' || token.text === '[') depth += 1;
    if (token.text === ')' || token.text === ']') depth -= 1;
    if (token.text === ',' && depth === 0) parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts.map((part) => ({ start: part[0]?.start ?? 0, end: part.at(-1)?.end ?? 0 }));
}

/** The words of a column's definition up to its first constraint. */
export function beforeConstraints({ statement, start }: WrittenCommand, column: SqlNode): string | null {
  const places = listIn(column['constraints']).flatMap((constraint) => {
    const fields = isNode(constraint) && isNode(constraint['Constraint']) ? constraint['Constraint'] : {};
    return typeof fields['location'] === 'number' ? [fields['location']] : [];
  });
  return places.length === 0
    ? null
    : Buffer.from(statement)
        .subarray(start, Math.min(...places))
        .toString()
        .trim();
}

/** A constraint of the table in its author's words, without its name: `UNIQUE (a) INCLUDE (b)`. */
export function constraintBody({ text }: WrittenCommand): string | null {
  const tokens = tokensOf(text);
  const first = tokens[1]?.text.toUpperCase() === 'CONSTRAINT' ? tokens[3] : tokens[1];
  return first === undefined ? null : Buffer.from(text).subarray(first.start).toString();
}
