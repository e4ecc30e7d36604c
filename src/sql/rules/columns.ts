import type { RelationFacts } from '../facts.ts';
import { objectType, textIn } from '../tree.ts';
import { altered } from './altered-table.ts';
import { EMPTY_USERS, USERS } from './example-tables.ts';
import { counted, holdsRows, listed, namedByClients, shown, sizeInWords, subject, word } from './relation-words.ts';
import type { Hit, Rule } from './rule.ts';

const viewsOf = (table: RelationFacts, column: string, schema: string): string[] =>
  table.readBy.filter(({ columns }) => columns.includes(column)).map((view) => shown(view, schema));

const renameColumnUnderReaders: Rule = {
  code: 'rename-column-under-readers',
  severity: 'error',
  title: 'Column renamed while clients use it',
  why: 'The rename takes a moment; the damage is done by the name. Every statement of a running client that has the old one fails from then on (42703), and none of the new version can be deployed before. There is no moment at which both work.',
  safeForm:
    'Add a column of the new name, keep both in step with `dual-write`, fill it with `backfill`, move the readers over with a flag, then `retire` the old one.',
  check(context) {
    const { statement, schema, facts } = context;
    if (statement.kind !== 'RenameStmt' || objectType(statement) !== 'OBJECT_COLUMN') return [];
    const table = subject(context);
    if (table === undefined || !holdsRows(table) || table.kind === 'view') return [];
    const name = textIn(statement.node['subname']);
    const users = namedByClients(facts, name);
    const seen = users === 0 ? '' : ` (${counted(users, 'statement')} in pg_stat_statements)`;
    return [
      {
        message: `clients that name ${word(name)} of ${shown(table, schema)}${seen} fail from that moment on`,
        // Nobody was seen to use it: less of a danger, but statistics are reset too.
        ...(facts.clientStatements !== null && users === 0 && { severity: 'warning' as const }),
      },
    ];
  },
  examples: {
    fires: { given: USERS, up: 'ALTER TABLE users RENAME COLUMN email TO mail' },
    silent: {
      given: EMPTY_USERS,
      up: 'ALTER TABLE users RENAME COLUMN email TO mail',
      because: 'the table never held a row: nobody reads it yet',
    },
  },
};

const dropColumn: Rule = {
  code: 'drop-column',
  severity: 'error',
  title: 'Column dropped outside of a drop step',
  why: 'The values are gone at once, and no `down` brings them back. Clients that name the column fail (42703), and prepared `SELECT *` too (0A000). Indexes, checks and foreign keys of the column go with it, without a word.',
  safeForm:
    '`retire` puts the column out of use with the values kept, so that it comes back in a second; `drop` removes it after its retention.',
  check(context) {
    const found = altered(context);
    if (found === null || !holdsRows(found.table)) return [];
    const { table, commands } = found;
    return commands.flatMap(({ subtype, name }): Hit[] => {
      const column = table.columns.find((one) => one.name === name);
      // A column that is NULL in every row, by the statistics, has nothing to lose.
      if (subtype !== 'AT_DropColumn' || column === undefined || column.nullShare === 1) return [];
      const lost = [
        ...table.indexes
          .filter(({ columns }) => columns.includes(name))
          .map((index) => `the index ${word(index.name)}`),
        ...table.constraints
          .filter(({ kind, columns }) => kind === 'foreign' && columns.includes(name))
          .map((one) => `the foreign key ${word(one.name)}`),
      ];
      const also = lost.length === 0 ? '' : `, and with them ${listed(lost)}`;
      return [
        {
          message: `the values of ${word(name)} of ${shown(table, context.schema)} (${sizeInWords(table)}) are lost${also}`,
        },
      ];
    });
  },
  examples: {
    fires: { given: USERS, up: 'ALTER TABLE users DROP COLUMN age', down: 'ALTER TABLE users ADD COLUMN age integer' },
    silent: {
      given: `${USERS};\nALTER TABLE users ADD COLUMN fax text;\nANALYZE users`,
      up: 'ALTER TABLE users DROP COLUMN fax',
      down: 'ALTER TABLE users ADD COLUMN fax text',
      because: 'the statistics say that the column is NULL in every row',
    },
  },
};

const columnUsedByView: Rule = {
  code: 'column-used-by-view',
  severity: 'error',
  title: 'Column that a view reads',
  why: 'Postgres refuses to change the type of a column that a view or materialized view reads (0A000), and to drop it without CASCADE (2BP01). With CASCADE the view goes too.',
  safeForm:
    'Drop the view in a statement before, and create it again after, in the same step; or make the change with a new column.',
  check(context) {
    const found = altered(context);
    if (found === null) return [];
    return found.commands.flatMap(({ subtype, name, cascade }): Hit[] => {
      const does =
        subtype === 'AT_AlterColumnType'
          ? 'change the type of'
          : subtype === 'AT_DropColumn' && !cascade
            ? 'drop'
            : null;
      const views = does === null ? [] : viewsOf(found.table, name, context.schema);
      if (views.length === 0) return [];
      return [
        {
          message: `Postgres refuses to ${does} ${word(name)} of ${shown(found.table, context.schema)}: ${listed(views)} ${views.length === 1 ? 'reads' : 'read'} it`,
        },
      ];
    });
  },
  examples: {
    fires: {
      given: `${EMPTY_USERS};\nCREATE VIEW grown_ups AS SELECT id FROM users WHERE age >= 18`,
      up: 'ALTER TABLE users ALTER COLUMN age TYPE bigint',
    },
    silent: {
      given: `${EMPTY_USERS};\nCREATE VIEW addresses AS SELECT id, email FROM users`,
      up: 'ALTER TABLE users ALTER COLUMN age TYPE bigint',
      because: 'the view `addresses` reads other columns',
    },
  },
};

const dropNotNull: Rule = {
  code: 'drop-not-null',
  severity: 'warning',
  title: 'NULL allowed where clients expect a value',
  why: "The statement itself takes a moment. But clients that were written for a column that is never NULL meet one as soon as a newer version writes it, and the way back fails at the first such row: SET NOT NULL can't be had again until it is gone.",
  safeForm: 'Deploy readers that can do with NULL first. The rollback sets NOT NULL again, through a validated check.',
  check(context) {
    const found = altered(context);
    if (found === null || !holdsRows(found.table)) return [];
    return found.commands.flatMap(({ subtype, name }): Hit[] =>
      subtype === 'AT_DropNotNull' && found.table.columns.some((one) => one.name === name && one.notNull)
        ? [
            {
              message: `readers of ${shown(found.table, context.schema)} may meet NULL in ${word(name)}, and rollback fails while there is one`,
            },
          ]
        : [],
    );
  },
  examples: {
    fires: {
      given: `${USERS};\nALTER TABLE users ALTER COLUMN email SET NOT NULL`,
      up: 'ALTER TABLE users ALTER COLUMN email DROP NOT NULL',
    },
    silent: {
      given: USERS,
      up: 'ALTER TABLE users ALTER COLUMN email DROP NOT NULL',
      because: 'the column may be NULL already',
    },
  },
};

const CHANGES_ROW: Readonly<Record<string, string>> = {
  AT_AddColumn: 'adds a column',
  AT_DropColumn: 'drops a column',
  AT_AlterColumnType: 'changes the type of a column',
};
/** `SELECT *`, `SELECT u.*`, `RETURNING *`: the result changes with the table. */
const STAR = /\b(select|returning)\b[^;]*?(^|[\s,(.])\*(?!\s*\))/i;

const selectStarClients: Rule = {
  code: 'select-star-clients',
  severity: 'warning',
  title: 'Clients that prepare SELECT *',
  why: 'A prepared statement whose result changes fails with 0A000, "cached plan must not change result type", and goes on failing until its client prepares it anew; most do that by connecting again. `SELECT *` and `RETURNING *` change with every column. Clients that read by position read the wrong one.',
  safeForm: "Name the columns in the clients' statements before; or restart the clients after the step.",
  check(context) {
    const found = altered(context);
    if (found === null || found.table.fresh) return [];
    const command = found.commands.find(({ subtype, def }) =>
      subtype === 'AT_AddColumn'
        ? !found.table.columns.some(({ name }) => name === textIn(def['colname']))
        : CHANGES_ROW[subtype] !== undefined,
    );
    if (command === undefined) return [];
    const statements = (context.facts.clientStatements ?? []).filter(
      (text) => STAR.test(text) && namedByClients({ ...context.facts, clientStatements: [text] }, found.table.name) > 0,
    );
    if (statements.length === 0) return [];
    return [
      {
        message: `it ${CHANGES_ROW[command.subtype]}: ${counted(statements.length, 'statement')} of clients ask for all columns of ${shown(found.table, context.schema)} (${shortened(statements[0] ?? '')}), and fail where they are prepared`,
      },
    ];
  },
  examples: {
    fires: {
      given: USERS,
      meanwhile: {
        words: 'pg_stat_statements shows that clients run `SELECT * FROM users WHERE id = $1`',
        facts: (facts) => ({ ...facts, clientStatements: ['SELECT * FROM users WHERE id = $1'] }),
      },
      up: 'ALTER TABLE users ADD COLUMN handle text',
    },
    silent: {
      given: USERS,
      meanwhile: {
        words:
          'pg_stat_statements shows that clients run `SELECT id, email FROM users` and `SELECT count(*) FROM users`',
        facts: (facts) => ({
          ...facts,
          clientStatements: ['SELECT id, email FROM users WHERE id = $1', 'SELECT count(*) FROM users'],
        }),
      },
      up: 'ALTER TABLE users ADD COLUMN handle text',
      because: 'every statement of clients that names the table names its columns too',
    },
  },
};
const SHOWN_MAX = 60;
const shortened = (text: string): string => {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length <= SHOWN_MAX ? line : `${line.slice(0, SHOWN_MAX - 1)}…`;
};

const dropDefault: Rule = {
  code: 'drop-default-under-writers',
  severity: 'warning',
  title: 'Default dropped under writers that rely on it',
  why: 'Clients that leave the column out of their INSERT get NULL from then on, and where the column is NOT NULL they fail (23502). Old versions go on leaving it out for as long as they run.',
  safeForm: 'Drop the default in the last phase, when every running version gives the value itself.',
  check(context) {
    const found = altered(context);
    if (found === null || !holdsRows(found.table)) return [];
    return found.commands.flatMap(({ subtype, name, kind }): Hit[] => {
      const column = found.table.columns.find((one) => one.name === name);
      if (subtype !== 'AT_ColumnDefault' || kind !== '' || column?.default == null) return [];
      const numbers = /\bnextval\b/i.test(column.default) ? ', which numbered the rows,' : '';
      return [
        {
          message: `an INSERT into ${shown(found.table, context.schema)} that leaves out ${word(name)}${numbers} ${column.notNull ? 'fails' : 'stores NULL'} from then on`,
          ...(column.notNull && { severity: 'error' as const }),
        },
      ];
    });
  },
  examples: {
    fires: {
      given: `${USERS};\nALTER TABLE users ADD COLUMN country text NOT NULL DEFAULT 'AT'`,
      up: 'ALTER TABLE users ALTER COLUMN country DROP DEFAULT',
    },
    silent: {
      given: `${USERS};\nALTER TABLE users ADD COLUMN country text`,
      up: 'ALTER TABLE users ALTER COLUMN country DROP DEFAULT',
      because: 'the column has no default now',
    },
  },
};

export const COLUMN_RULES: readonly Rule[] = [
  renameColumnUnderReaders,
  dropColumn,
  columnUsedByView,
  dropNotNull,
  selectStarClients,
  dropDefault,
];
