import type { Node } from 'libpg-query';
import { deparseSync } from 'pgsql-deparser';

/**
 * An expression of the parse tree as text, for the facts: it is compared and shown, never run. What the deparser can't
 * write is shown as an ellipsis.
 */
export function deparseExpression(node: unknown): string {
  try {
    const sql = deparseSync(
      {
        SelectStmt: {
          targetList: [{ ResTarget: { val: node as Node } }],
          limitOption: 'LIMIT_OPTION_DEFAULT',
          op: 'SETOP_NONE',
        },
      },
      { pretty: false },
    );
    return sql.replace(/^SELECT\s+/i, '');
  } catch {
    return '…';
  }
}
