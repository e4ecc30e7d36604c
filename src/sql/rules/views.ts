import type { RelationFacts } from '../facts.ts';
import { tablesTouched } from '../tables.ts';
import { cascades, droppedObjects, nameIn, nodeIn, objectType, relationIn, textIn, textsIn } from '../tree.ts';
import { queryColumns } from './query-columns.ts';
import { counted, find, isLarge, listed, namedByClients, shown, sizeInWords, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

/** CREATE OR REPLACE VIEW of a view that is there: its columns before and after, where both can be told. */
function replaced(
  context: RuleContext,
): { view: RelationFacts; name: string; before: string[]; after: string[] } | null {
  const { statement, schema, facts } = context;
  const { kind, node } = statement;
  if (kind !== 'ViewStmt' || node['replace'] !== true) return null;
  const view = find(facts, relationIn(node['view'], schema));
  const columns = queryColumns(node['query'], schema, facts);
  if (view?.kind !== 'view' || columns === null) return null;
  const aliases = textsIn(node['aliases']);
  return {
    view,
    name: shown(view, schema),
    before: view.columns.map((column) => column.name),
    after: columns.map((column, at) => aliases[at] ?? column),
  };
}

const USERS = 'CREATE TABLE users (id bigint, name text, mail text)';
const VIEW = `${USERS};\nCREATE VIEW people AS SELECT id, name FROM users`;

const changesColumns: Rule = {
  code: 'create-or-replace-view-changes-columns',
  severity: 'error',
  title: 'CREATE OR REPLACE VIEW with other columns',
  why: 'Postgres lets a replaced view get new columns at its end and nothing else: a column that is missing, renamed or elsewhere makes the statement fail (`cannot drop columns from view`, `cannot change name of view column`).',
  safeForm:
    'Keep the columns that are there in their order and put new ones at the end; for anything else make a second view beside it, and let readers move over.',
  check(context) {
    const found = replaced(context);
    if (found === null) return [];
    const at = found.before.findIndex((column, index) => found.after[index] !== column);
    if (at < 0) return [];
    const [was, is] = [word(found.before[at] ?? ''), found.after[at]];
    return [
      {
        message: `it fails: column ${at + 1} of ${found.name} is ${was}, and the new query has ${is === undefined ? 'none there' : `${word(is)} there`}`,
      },
    ];
  },
  examples: {
    fires: { given: VIEW, up: 'CREATE OR REPLACE VIEW people AS SELECT id, mail FROM users' },
    silent: {
      given: VIEW,
      up: 'CREATE OR REPLACE VIEW people AS SELECT id, name FROM users WHERE mail IS NOT NULL',
      because: 'the view that is there has the same columns in the same order',
    },
  },
};

const widened: Rule = {
  code: 'view-widened-needs-down',
  severity: 'error',
  title: 'View widened without a way back',
  why: 'A view can get columns but not lose them: `CREATE OR REPLACE` refuses to. To make it narrow again it would have to be dropped, with all that depends on it, so the engine doesn’t do that by itself.',
  safeForm:
    'Write `down`: `DROP VIEW` and `CREATE VIEW` with the old columns (and its grants), or a comment where the wider view may stay.',
  check(context) {
    const found = context.hasDown ? null : replaced(context);
    if (found === null || found.after.length <= found.before.length) return [];
    if (found.before.some((column, at) => found.after[at] !== column)) return [];
    const added = found.after.slice(found.before.length).map(word);
    return [{ message: `rollback can't take ${listed(added)} out of ${found.name}, and the step has no \`down\`` }];
  },
  examples: {
    fires: { given: VIEW, up: 'CREATE OR REPLACE VIEW people AS SELECT id, name, mail FROM users' },
    silent: {
      given: `${USERS};\nCREATE VIEW people AS SELECT id, name, mail FROM users`,
      up: 'CREATE OR REPLACE VIEW people AS SELECT id, name, mail FROM users',
      because: 'the view that is there has all these columns',
    },
  },
};

const dropView: Rule = {
  code: 'drop-view-under-readers',
  severity: 'error',
  title: 'View dropped under its readers',
  why: 'From the commit on, whoever reads the view fails (42P01). Dropped and created again in two statements it is gone for a moment, and its grants are gone for good. With CASCADE, the views that read it go too.',
  safeForm:
    '`CREATE OR REPLACE VIEW` where the columns stay; else a new view beside the old one, which goes when nobody reads it any more.',
  check(context) {
    const object = objectType(context.statement);
    if (context.statement.kind !== 'DropStmt' || (object !== 'OBJECT_VIEW' && object !== 'OBJECT_MATVIEW')) return [];
    return droppedObjects(context.statement).flatMap((texts): Hit[] => {
      const view = find(context.facts, nameIn(texts, context.schema));
      if (view === undefined || view.fresh) return [];
      const name = shown(view, context.schema);
      const readers = view.readBy.map((one) => shown(one, context.schema));
      if (readers.length > 0)
        return [
          {
            message: cascades(context.statement)
              ? `CASCADE drops ${listed(readers)} with ${name}`
              : `it fails: ${listed(readers)} ${readers.length === 1 ? 'reads' : 'read'} ${name}`,
          },
        ];
      const statements = namedByClients(context.facts, view.name);
      const granted = [...new Set(view.standing?.grants.map((grant) => grant.grantee))];
      if (statements > 0)
        return [{ message: `${counted(statements, 'statement')} of clients in pg_stat_statements read ${name}` }];
      if (granted.length > 0) return [{ message: `${listed(granted)} may read ${name}, and would fail` }];
      return [{ severity: 'warning', message: `whoever reads ${name} fails; the catalog doesn't show who that is` }];
    });
  },
  examples: {
    fires: { given: `${VIEW};\nGRANT SELECT ON people TO PUBLIC`, up: 'DROP VIEW people' },
    silent: { given: USERS, up: 'DROP VIEW IF EXISTS people', because: 'there is no such view' },
  },
};

const ORDERS = (rows: number): string =>
  `CREATE TABLE orders (id bigint, total bigint);\nINSERT INTO orders SELECT i, i FROM generate_series(1, ${rows}) i;\nANALYZE orders`;

const createTableAs: Rule = {
  code: 'create-table-as-scans',
  severity: 'warning',
  title: 'Table or materialized view filled in one statement',
  why: '`CREATE TABLE … AS` and `CREATE MATERIALIZED VIEW` read and write everything in one transaction: nothing throttles it, a crash starts it over, and as long as it lasts VACUUM removes nothing anywhere in the database. Rows written meanwhile are not in the copy.',
  safeForm:
    'Create the table empty, keep it in step with `dual-write` and fill it with `backfill`. A materialized view: `WITH NO DATA`, then fill it where load is low.',
  check(context) {
    const { statement, schema, facts } = context;
    if (statement.kind !== 'CreateTableAsStmt' || nodeIn(statement.node['into'])['skipData'] === true) return [];
    const made = relationIn(nodeIn(statement.node['into'])['rel'], schema);
    const read = tablesTouched(statement.text, schema)
      .filter(({ table }) => table !== made.name)
      .map((ref) => find(facts, { schema: ref.schema, name: ref.table }))
      .filter((table) => table !== undefined && isLarge(table)) as RelationFacts[];
    if (read.length === 0) return [];
    const tables = listed(read.map((table) => `${shown(table, schema)} (${sizeInWords(table)})`));
    return [{ message: `${shown(made, schema)} is filled from ${tables} in one transaction` }];
  },
  examples: {
    fires: { given: ORDERS(20_000), up: 'CREATE TABLE totals AS SELECT id, total FROM orders' },
    silent: {
      given: ORDERS(5),
      up: 'CREATE TABLE totals AS SELECT id, total FROM orders',
      because: 'the table has five rows',
    },
  },
};

/** REFRESH MATERIALIZED VIEW: the view, where the catalog has it. */
function refreshed({ statement, schema, facts }: RuleContext): { view: RelationFacts; concurrently: boolean } | null {
  if (statement.kind !== 'RefreshMatViewStmt') return null;
  const view = find(facts, relationIn(statement.node['relation'], schema));
  return view?.kind === 'materialized view' ? { view, concurrently: statement.node['concurrent'] === true } : null;
}
/** What CONCURRENTLY asks for: a unique index over plain columns and all rows. */
const hasKey = (view: RelationFacts): boolean =>
  view.indexes.some((one) => one.unique && one.valid && !one.partial && one.columns.every((column) => column !== null));

const TOTALS = (rows: number): string =>
  `CREATE TABLE orders (id bigint, total bigint);\nINSERT INTO orders SELECT i, i FROM generate_series(1, ${rows}) i;\nCREATE MATERIALIZED VIEW totals AS SELECT id, total FROM orders;\nANALYZE totals`;
const refreshBlocks: Rule = {
  code: 'refresh-not-concurrently',
  severity: 'error',
  title: 'Materialized view refreshed without CONCURRENTLY',
  why: '`REFRESH MATERIALIZED VIEW` holds an ACCESS EXCLUSIVE lock on the view while its query runs: every reader waits for the whole of it.',
  safeForm:
    '`REFRESH MATERIALIZED VIEW CONCURRENTLY`, which needs a unique index over plain columns and all rows; readers see the old rows until it is done.',
  check(context) {
    const found = refreshed(context);
    if (found === null || found.concurrently || !isLarge(found.view)) return [];
    const name = shown(found.view, context.schema);
    const needs = hasKey(found.view) ? '' : '; for CONCURRENTLY it first needs a unique index';
    return [
      {
        message: `readers of ${name} (${sizeInWords(found.view)}) wait while its query runs${needs}`,
        safeForm: `REFRESH MATERIALIZED VIEW CONCURRENTLY ${name}`,
      },
    ];
  },
  examples: {
    fires: { given: TOTALS(20_000), up: 'REFRESH MATERIALIZED VIEW totals' },
    silent: { given: TOTALS(5), up: 'REFRESH MATERIALIZED VIEW totals', because: 'the view has five rows' },
  },
};

const refreshNeedsKey: Rule = {
  code: 'refresh-concurrently-needs-key',
  severity: 'error',
  title: 'REFRESH … CONCURRENTLY without a unique index',
  why: 'CONCURRENTLY compares old and new rows by a unique index. Where the view has none over plain columns and all rows, the statement fails.',
  safeForm: '`CREATE UNIQUE INDEX` on the view first.',
  check(context) {
    const found = refreshed(context);
    if (found === null || !found.concurrently || hasKey(found.view)) return [];
    const name = shown(found.view, context.schema);
    return [
      {
        message: `it fails: ${name} has no unique index over plain columns and all rows`,
        safeForm: `CREATE UNIQUE INDEX CONCURRENTLY ${word(`${found.view.name}_key`)} ON ${name} (…)`,
      },
    ];
  },
  examples: {
    fires: { given: TOTALS(5), up: 'REFRESH MATERIALIZED VIEW CONCURRENTLY totals' },
    silent: {
      given: `${TOTALS(5)};\nCREATE UNIQUE INDEX totals_key ON totals (id)`,
      up: 'REFRESH MATERIALIZED VIEW CONCURRENTLY totals',
      because: 'the view has a unique index over all its rows',
    },
  },
};

const viewColumnRenamed: Rule = {
  code: 'view-column-renamed-under-readers',
  severity: 'error',
  title: 'Column of a view renamed under its readers',
  why: 'A view’s columns are what its readers know it by. From the commit on, whoever names the old column fails (42703), and whoever reads `*` gets another name.',
  safeForm: 'Add the new name as one more column at the end (`CREATE OR REPLACE VIEW`), and let readers move over.',
  check(context) {
    const { statement, schema, facts } = context;
    const { kind, node } = statement;
    if (kind !== 'RenameStmt' || node['renameType'] !== 'OBJECT_COLUMN') return [];
    const view = find(facts, relationIn(node['relation'], schema));
    if (view === undefined || view.fresh || (view.kind !== 'view' && view.kind !== 'materialized view')) return [];
    const column = textIn(node['subname']);
    if (!view.columns.some((one) => one.name === column)) return [];
    return [{ message: `whoever reads ${word(column)} of ${shown(view, schema)} fails at once` }];
  },
  examples: {
    fires: { given: VIEW, up: 'ALTER VIEW people RENAME COLUMN name TO full_name' },
    silent: {
      given: USERS,
      up: 'CREATE VIEW people AS SELECT id, name FROM users;\nALTER VIEW people RENAME COLUMN name TO full_name',
      because: 'the plan itself makes the view: nobody reads it yet',
    },
  },
};

export const VIEW_RULES: readonly Rule[] = [
  changesColumns,
  widened,
  dropView,
  viewColumnRenamed,
  createTableAs,
  refreshBlocks,
  refreshNeedsKey,
];
