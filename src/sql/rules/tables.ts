import type { RelationFacts } from '../facts.ts';
import { familyOf } from '../impact/draft.ts';
import { LOCK_MODES, whoWaits } from '../impact.ts';
import { alterCommands, cascades, droppedObjects, nameIn, objectType, sameName, textIn } from '../tree.ts';
import { altered, isRewritten } from './altered-table.ts';
import { EMPTY_USERS, large, USERS } from './example-tables.ts';
import {
  counted,
  find,
  holdsRows,
  isLarge,
  listed,
  namedByClients,
  shown,
  sizeInWords,
  subject,
  word,
} from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

const renameTableUnderReaders: Rule = {
  code: 'rename-table-under-readers',
  severity: 'error',
  title: 'Table renamed while clients use it',
  why: "The rename takes a moment; then every statement of a running client that has the old name fails (42P01), and the new version can't be deployed before. There is no moment at which both work.",
  safeForm:
    'Leave the name; or rename, and in the next statement create a view of the old name over the new one (a simple view takes writes too), which goes when no client needs it.',
  check(context) {
    const { statement, schema, facts } = context;
    if (statement.kind !== 'RenameStmt' || objectType(statement) !== 'OBJECT_TABLE') return [];
    const table = subject(context);
    if (table === undefined || !holdsRows(table) || table.kind === 'index') return [];
    const users = namedByClients(facts, table.name);
    const seen = users === 0 ? '' : ` (${counted(users, 'statement')} in pg_stat_statements)`;
    return [
      {
        message: `clients that name ${shown(table, schema)}${seen} fail from that moment on`,
        ...(facts.clientStatements !== null && users === 0 && { severity: 'warning' as const }),
      },
    ];
  },
  examples: {
    fires: { given: USERS, up: 'ALTER TABLE users RENAME TO people' },
    silent: {
      given: EMPTY_USERS,
      up: 'ALTER TABLE users RENAME TO people',
      because: 'the table never held a row: nobody reads it yet',
    },
  },
};

/** The tables of a DROP that the catalog has. */
function droppedTables({ statement, schema, facts }: RuleContext): RelationFacts[] {
  if (statement.kind !== 'DropStmt') return [];
  const type = objectType(statement);
  if (type === 'OBJECT_SCHEMA') {
    const names = droppedObjects(statement).map((texts) => texts.at(-1));
    return facts.relations.filter((relation) => names.includes(relation.schema));
  }
  if (type !== 'OBJECT_TABLE' && type !== 'OBJECT_FOREIGN_TABLE') return [];
  return droppedObjects(statement).flatMap((texts) => find(facts, nameIn(texts, schema)) ?? []);
}

const dropTable: Rule = {
  code: 'drop-table',
  severity: 'error',
  title: 'Table with rows dropped outside of a drop step',
  why: 'The rows are gone at once, and no `down` brings them back. Clients that name the table fail (42P01).',
  safeForm:
    '`retire` puts the table out of use with its rows kept, so that it comes back in a second; `drop` removes it after its retention.',
  check(context) {
    return droppedTables(context)
      .filter((table) => (table.kind === 'table' || table.kind === 'partitioned') && holdsRows(table))
      .map((table) => ({ message: `the rows of ${shown(table, context.schema)} (${sizeInWords(table)}) are lost` }));
  },
  examples: {
    fires: {
      given: USERS,
      up: 'DROP TABLE users',
      down: 'CREATE TABLE users (id bigint PRIMARY KEY, email text, age integer)',
    },
    silent: {
      given: EMPTY_USERS,
      up: 'DROP TABLE users',
      down: 'CREATE TABLE users (id bigint PRIMARY KEY, email text, age integer)',
      because: 'the table never held a row',
    },
  },
};

/** What CASCADE takes along, by the facts. */
function takenAlong(context: RuleContext): string[] {
  const { statement, schema, facts } = context;
  const name = (of: { schema: string; name: string }): string => shown(of, schema);
  if (statement.kind === 'DropStmt') {
    if (!cascades(statement)) return [];
    const dropped = droppedObjects(statement).flatMap((texts) => find(facts, nameIn(texts, schema)) ?? []);
    const gone = objectType(statement) === 'OBJECT_SCHEMA' ? droppedTables(context) : dropped;
    return gone.flatMap((table) => [
      ...(objectType(statement) === 'OBJECT_SCHEMA' ? [`${table.kind} ${name(table)}`] : []),
      ...table.readBy.map((view) => `the ${view.kind} ${name(view)}`),
      ...table.referencedBy.map(
        (one) => `the foreign key ${word(one.constraint)} of ${name({ schema: one.schema, name: one.table })}`,
      ),
    ]);
  }
  const table = altered(context)?.table;
  return alterCommands(statement).flatMap((command) => {
    if (!command.cascade || table === undefined) return [];
    const own = table.constraints.find((one) => one.name === command.name);
    const columns = command.subtype === 'AT_DropColumn' ? [command.name] : (own?.columns ?? []);
    const isColumn = command.subtype === 'AT_DropColumn';
    const views = isColumn ? table.readBy.filter((view) => view.columns.includes(command.name)) : [];
    const keys = table.referencedBy.filter((one) =>
      isColumn ? one.columns.includes(command.name) : [...one.columns].sort().join() === [...columns].sort().join(),
    );
    return [
      ...views.map((view) => `the ${view.kind} ${name(view)}`),
      ...keys.map(
        (one) => `the foreign key ${word(one.constraint)} of ${name({ schema: one.schema, name: one.table })}`,
      ),
    ];
  });
}

const dropCascade: Rule = {
  code: 'drop-cascade',
  severity: 'error',
  title: 'CASCADE that takes more along',
  why: "CASCADE drops whatever hangs on the object: views with their grants, foreign keys of other tables, columns. What goes isn't written in the statement, differs from one database to another, and doesn't come back with the object.",
  safeForm: 'Name what is to go, each in a statement of its own, without CASCADE.',
  check(context) {
    const taken = [...new Set(takenAlong(context))];
    return taken.length === 0 ? [] : [{ message: `it takes along ${listed(taken)}` }];
  },
  examples: {
    fires: {
      given: `${EMPTY_USERS};\nCREATE VIEW addresses AS SELECT id, email FROM users`,
      up: 'ALTER TABLE users DROP COLUMN email CASCADE',
      down: 'ALTER TABLE users ADD COLUMN email text',
    },
    silent: {
      given: `${EMPTY_USERS};\nCREATE VIEW addresses AS SELECT id, email FROM users`,
      up: 'ALTER TABLE users DROP COLUMN age CASCADE',
      down: 'ALTER TABLE users ADD COLUMN age integer',
      because: 'nothing hangs on the column: the view reads others',
    },
  },
};

const severalTablesLocked: Rule = {
  code: 'several-tables-locked',
  severity: 'warning',
  title: 'Several tables locked at once',
  why: 'Locks are held until the transaction ends. While the statement waits for the second table, everybody who wants the first waits too; and a client that takes them in the other order makes a deadlock, of which Postgres ends one. Clients of both tables are held up by the slower of the two.',
  safeForm:
    'One table per statement where that can be: the engine runs each in a transaction of its own. A foreign key is best added NOT VALID, on a column that is there.',
  check(context) {
    const { impact, facts, schema } = context;
    const strong = impact.locks
      .filter(({ mode }) => LOCK_MODES.indexOf(mode) >= LOCK_MODES.indexOf('SHARE'))
      .flatMap((lock) => {
        const table = find(facts, { schema: lock.schema, name: lock.relation });
        const isTable = table?.kind === 'table' || table?.kind === 'partitioned' || table?.kind === 'materialized view';
        return table !== undefined && isTable && holdsRows(table) ? [{ table, mode: lock.mode }] : [];
      });
    // A partition is part of its table.
    const roots = strong.filter(
      ({ table }) =>
        !strong.some((other) => other.table !== table && familyOf(other.table).some((name) => sameName(name, table))),
    );
    if (roots.length < 2) return [];
    const words = roots.map(({ table, mode }) => `${shown(table, schema)} (${mode}: ${whoWaits(mode)} wait)`);
    return [{ message: `it holds ${counted(roots.length, 'table')} at once: ${listed(words)}` }];
  },
  examples: {
    fires: {
      given: `${large('customers', 'id bigint PRIMARY KEY')};\n${large('orders', 'id bigint PRIMARY KEY, customer bigint REFERENCES customers')}`,
      up: 'ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey',
    },
    silent: {
      given: `CREATE TABLE customers (id bigint PRIMARY KEY);\n${large('orders', 'id bigint PRIMARY KEY, customer bigint REFERENCES customers', 'i, NULL')}`,
      up: 'ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey',
      because: 'the other table never held a row: nobody waits for it',
    },
  },
};

/** A rule about a subcommand that writes the table's files anew. */
const copies = (rule: Omit<Rule, 'check' | 'severity'>, subtypes: readonly string[]): Rule => ({
  ...rule,
  severity: 'error',
  check(context): readonly Hit[] {
    const found = altered(context);
    if (found === null || !isLarge(found.table) || !isRewritten(context, found.table)) return [];
    if (!found.commands.some(({ subtype }) => subtypes.includes(subtype))) return [];
    return [
      {
        message: `readers and writers of ${shown(found.table, context.schema)} (${sizeInWords(found.table)}) wait until it is written anew`,
      },
    ];
  },
});

const setLoggedRewrites = copies(
  {
    code: 'set-logged-rewrites',
    title: 'SET LOGGED or UNLOGGED on a table with rows',
    why: 'Between LOGGED and UNLOGGED the whole table and its indexes are written anew under ACCESS EXCLUSIVE; to LOGGED, all of it goes through the write-ahead log and to every replica too.',
    safeForm: 'Make a new table of the wanted kind, and move the rows there with `dual-write` and `backfill`.',
    examples: {
      fires: {
        given: large('hits', 'id bigint').replace('CREATE TABLE', 'CREATE UNLOGGED TABLE'),
        up: 'ALTER TABLE hits SET LOGGED',
      },
      silent: {
        given: large('hits', 'id bigint'),
        up: 'ALTER TABLE hits SET LOGGED',
        because: 'the table is LOGGED already: Postgres does nothing',
      },
    },
  },
  ['AT_SetLogged', 'AT_SetUnLogged'],
);

const setTablespaceRewrites = copies(
  {
    code: 'set-tablespace-rewrites',
    title: 'Table moved to another tablespace',
    why: 'Every page of the table is copied under ACCESS EXCLUSIVE, and goes through the write-ahead log and to every replica. Indexes stay where they are and want a move of their own.',
    safeForm:
      '`pg_repack --tablespace`, outside of a migration, copies while everybody goes on; or move the rows to a new table there.',
    examples: {
      fires: {
        given: USERS,
        meanwhile: {
          words: 'the table is in the tablespace `slow`',
          facts: (facts) => ({
            ...facts,
            relations: facts.relations.map((relation) => ({ ...relation, tablespace: 'slow' })),
          }),
        },
        up: 'ALTER TABLE users SET TABLESPACE pg_default',
      },
      silent: {
        given: USERS,
        up: 'ALTER TABLE users SET TABLESPACE pg_default',
        because: 'the table is there already',
      },
    },
  },
  ['AT_SetTableSpace'],
);

const setAccessMethodRewrites = copies(
  {
    code: 'set-access-method-rewrites',
    title: 'Another access method for a table with rows',
    why: 'Another way to store the rows means to write all of them, and all indexes, anew under ACCESS EXCLUSIVE.',
    safeForm: 'Make a new table with the access method, and move the rows there with `dual-write` and `backfill`.',
    examples: {
      fires: {
        given: `CREATE ACCESS METHOD columns_first TYPE TABLE HANDLER heap_tableam_handler;\n${USERS}`,
        up: 'ALTER TABLE users SET ACCESS METHOD columns_first',
      },
      silent: {
        given: `CREATE ACCESS METHOD columns_first TYPE TABLE HANDLER heap_tableam_handler;\n${EMPTY_USERS}`,
        up: 'ALTER TABLE users SET ACCESS METHOD columns_first',
        because: 'there are no rows to write',
      },
    },
  },
  ['AT_SetAccessMethod'],
);

/** What statements make by name: `relation` of CREATE TABLE, the view, the sequence. */
const alreadyThere: Rule = {
  code: 'already-there',
  severity: 'warning',
  title: 'IF NOT EXISTS that finds something else',
  why: 'IF NOT EXISTS looks at the name only. Where there is a table or column of that name with another definition, the statement does nothing and reports success, and what comes after it meets something else than the plan says. Nothing of it is undone by a rollback, which drops only what it made.',
  safeForm: 'Leave out IF NOT EXISTS: the engine runs each statement once, also over crashes and retries.',
  check(context) {
    const { statement, schema } = context;
    if (statement.kind === 'CreateStmt' && statement.node['if_not_exists'] === true) {
      const table = subject(context);
      return table === undefined
        ? []
        : [{ message: `${shown(table, schema)} is there already, so nothing is made, whatever its columns are` }];
    }
    const found = altered(context);
    if (found === null) return [];
    return found.commands.flatMap(({ subtype, def, missingOk }): Hit[] => {
      const column = found.table.columns.find(({ name }) => name === textIn(def['colname']));
      if (subtype !== 'AT_AddColumn' || !missingOk || column === undefined) return [];
      return [
        {
          message: `${word(column.name)} of ${shown(found.table, schema)} is there already, as ${column.type}, so nothing is added`,
        },
      ];
    });
  },
  examples: {
    fires: { given: EMPTY_USERS, up: 'ALTER TABLE users ADD COLUMN IF NOT EXISTS age text' },
    silent: {
      given: EMPTY_USERS,
      up: 'ALTER TABLE users ADD COLUMN IF NOT EXISTS height text',
      because: 'the table has no column of that name',
    },
  },
};

export const TABLE_RULES: readonly Rule[] = [
  renameTableUnderReaders,
  dropTable,
  dropCascade,
  severalTablesLocked,
  setLoggedRewrites,
  setTablespaceRewrites,
  setAccessMethodRewrites,
  alreadyThere,
];
