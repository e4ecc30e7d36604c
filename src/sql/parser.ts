import { loadModule, type ParseResult, parseSync, SqlError } from 'libpg-query';

// The parser is WebAssembly; loaded once here, it is synchronous for everyone else.
await loadModule();

/** A node of Postgres's parse tree, `{ AlterTableStmt: { … } }`, loosely typed: the tree is walked, not modelled. */
export type SqlNode = Record<string, unknown>;

export interface Statement {
  /** The statement without the semicolon, and without comments before it. */
  text: string;
  /** Postgres's name of the statement: `AlterTableStmt`, `IndexStmt`, … */
  kind: string;
  /** The fields of the statement's node. */
  node: SqlNode;
  /** Where the statement starts in the whole text, in UTF-16 units. */
  offset: number;
}

/** SQL that Postgres's own parser refuses, or that a rule here does; `offset` in UTF-16 units from the text's start. */
export class SqlFault extends Error {
  override readonly name = 'SqlFault';
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** The parse tree of a text; throws `SqlFault`. */
export function parseSql(sql: string): ParseResult {
  if (sql.trim() === '') return { version: 0, stmts: [] };
  try {
    return parseSync(sql);
  } catch (error) {
    if (error instanceof SqlError) {
      throw new SqlFault(error.message, unitsOfPoints(sql, error.sqlDetails?.cursorPosition ?? 0));
    }
    // The tree comes as JSON; an expression of thousands of levels ends the stack of whoever reads it.
    if (error instanceof RangeError) throw new SqlFault('the SQL is nested too deeply', 0);
    throw error;
  }
}

/** The statements of a text, in order; throws `SqlFault`. */
export function statementsOf(sql: string): Statement[] {
  const bytes = Buffer.from(sql, 'utf8');
  return (parseSql(sql).stmts ?? []).map((raw) => {
    const start = raw.stmt_location ?? 0;
    const length = raw.stmt_len ?? 0;
    const slice = bytes.subarray(start, length === 0 ? bytes.length : start + length).toString('utf8');
    const skipped = leadingBlank(slice);
    const [kind, node] = Object.entries(raw.stmt ?? {})[0] as [string, SqlNode];
    const text = slice.slice(skipped).replace(/[\s;]+$/, '');
    return { text, kind, node, offset: bytes.subarray(0, start).toString('utf8').length + skipped };
  });
}

/** Turns a byte position of the parse tree (`location`) into UTF-16 units. */
export const unitsOfBytes = (sql: string, position: number): number =>
  Buffer.from(sql, 'utf8').subarray(0, position).toString('utf8').length;

/** Turns Postgres's position in an error, in code points, into UTF-16 units. */
const unitsOfPoints = (sql: string, points: number): number => Array.from(sql).slice(0, points).join('').length;

/** How much of a text is white space and comments (`--` to the end of the line, nested block comments). */
function leadingBlank(text: string): number {
  let at = 0;
  for (;;) {
    const rest = text.slice(at);
    const blank = /^(\s+|--[^\n]*\n?)/.exec(rest)?.[0].length ?? blockComment(rest);
    if (blank === 0) return at;
    at += blank;
  }
}

function blockComment(text: string): number {
  if (!text.startsWith('/*')) return 0;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    if (text.startsWith('/*', at)) depth += 1;
    else if (text.startsWith('*/', at)) depth -= 1;
    else continue;
    at += 1;
    if (depth === 0) return at + 1;
  }
  return 0;
}

/** Visits every node below (and with) `node`, as kind and fields; a visitor that answers false isn't shown what is inside. */
export function walkSql(node: unknown, visit: (kind: string, fields: SqlNode) => boolean | void): void {
  if (Array.isArray(node)) {
    for (const item of node) walkSql(item, visit);
    return;
  }
  if (typeof node !== 'object' || node === null) return;
  for (const [key, value] of Object.entries(node)) {
    if (typeof value !== 'object' || value === null) continue;
    const isKind = /^[A-Z]/.test(key) && !Array.isArray(value);
    if (isKind && visit(key, value as SqlNode) === false) continue;
    walkSql(value, visit);
  }
}
