import { deparseSync } from 'pgsql-deparser';
import { type SqlNode, SqlFault, type Statement, statementsOf } from './parser.ts';

/**
 * SQL from a parse tree. `pgsql-deparser` is not trusted (seen: it drops INCLUDE, WITH and USING INDEX TABLESPACE of a
 * UNIQUE constraint, STORAGE and COMPRESSION of a column, and the name in REFRESH MATERIALIZED VIEW). What it writes is
 * parsed again, and counts only where Postgres's own parser reads the very tree that was meant.
 */
export interface Wanted {
  /** Postgres's name of the statement: `AlterTableStmt`, … */
  kind: string;
  node: SqlNode;
}

/**
 * The statement as SQL; where the deparser can't write it, the first of the other writings that means the same; null
 * where none does.
 */
export function deparse({ kind, node }: Wanted, ...others: readonly (() => string | null)[]): string | null {
  for (const write of [() => written(kind, node), ...others]) {
    const text = write();
    if (text !== null && means(text, { kind, node })) return text;
  }
  return null;
}

function written(kind: string, node: SqlNode): string | null {
  try {
    return deparseSync({ [kind]: node }, { pretty: false });
  } catch {
    // It throws on what it doesn't know.
    return null;
  }
}

/** Whether a text is one statement with this very tree. */
export function means(text: string, { kind, node }: Wanted): boolean {
  const [only, more] = parsed(text);
  return only?.kind === kind && more === undefined && sameTree(only.node, node);
}

function parsed(text: string): Statement[] {
  try {
    return statementsOf(text);
  } catch (error) {
    if (error instanceof SqlFault) return [];
    throw error;
  }
}

/** Whether two trees are the same but for where their parts stand in the text. */
export const sameTree = (a: unknown, b: unknown): boolean =>
  JSON.stringify(withoutPlaces(a)) === JSON.stringify(withoutPlaces(b));

const PLACES = new Set([
  'location',
  'stmt_location',
  'stmt_len',
  'list_start',
  'list_end',
  'rexpr_list_start',
  'rexpr_list_end',
]);

function withoutPlaces(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withoutPlaces);
  if (typeof node !== 'object' || node === null) return node;
  return Object.fromEntries(
    Object.entries(node)
      .filter(([key, value]) => !PLACES.has(key) && value !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => [key, withoutPlaces(value)]),
  );
}
