import { kindOf, listIn, nodeIn, relationIn, tableElements, type ColumnClause } from '../tree.ts';
import { typeIn, typeOf, typeText, type SqlType } from '../type-name.ts';
import { addedConstraints, newColumns } from './altered-table.ts';
import { find, shown, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

const typeFor = (column: ColumnClause, schema: string): SqlType => typeOf(column.type, schema);

/** A rule about the type of a new column; silent where the table has such columns already, and others expect them. */
const aboutType = (
  rule: Omit<Rule, 'check'>,
  is: (type: SqlType) => boolean,
  message: (column: string, type: SqlType) => string,
): Rule => ({
  ...rule,
  check: (context) =>
    newColumns(context).flatMap(({ table, column }): Hit[] => {
      const type = typeFor(column, context.schema);
      if (!is(type)) return [];
      const alike = find(context.facts, table)?.columns.some((one) => is(typeIn(one.type)));
      return alike === true
        ? []
        : [{ message: message(`${word(column.name)} of ${shown(table, context.schema)}`, type) }];
    }),
});

const timestampWithoutTimeZone = aboutType(
  {
    code: 'timestamp-without-time-zone',
    severity: 'warning',
    title: 'Time without a time zone',
    why: '`timestamp` keeps what the clock on some wall showed, not the moment: two services in two time zones read the same row as two moments, and an hour is there twice each autumn. `timestamptz` takes the same eight bytes.',
    safeForm: 'Use `timestamptz`.',
    examples: {
      fires: {
        given: 'CREATE TABLE visits (id bigint PRIMARY KEY)',
        up: 'ALTER TABLE visits ADD COLUMN seen_at timestamp',
      },
      silent: {
        given: 'CREATE TABLE visits (id bigint PRIMARY KEY, made_at timestamp)',
        up: 'ALTER TABLE visits ADD COLUMN seen_at timestamp',
        because: "the table's other times have none either: a mixture would be worse",
      },
    },
  },
  ({ schema, name }) => schema === null && name === 'timestamp',
  (column) => `${column} doesn't say which moment it is`,
);

const jsonNotJsonb = aboutType(
  {
    code: 'json-not-jsonb',
    severity: 'warning',
    title: 'json instead of jsonb',
    why: "`json` is text that is parsed anew at each use. It has no equality: `SELECT DISTINCT`, `GROUP BY` and `UNION` over the row fail with it (42883), and it can't be indexed.",
    safeForm: 'Use `jsonb`, unless the very text (order and doubles of keys) has to be kept.',
    examples: {
      fires: { given: 'CREATE TABLE events (id bigint PRIMARY KEY)', up: 'ALTER TABLE events ADD COLUMN body json' },
      silent: {
        given: 'CREATE TABLE events (id bigint PRIMARY KEY, head json)',
        up: 'ALTER TABLE events ADD COLUMN body json',
        because: 'the table has json already: nobody compares its rows',
      },
    },
  },
  ({ schema, name }) => schema === null && name === 'json',
  (column) => `${column} has no equality: SELECT DISTINCT over the row fails`,
);

const charPadding = aboutType(
  {
    code: 'char-padding',
    severity: 'warning',
    title: 'char(n), which pads with blanks',
    why: '`char(n)` fills every value up with blanks, stores them, and ignores them in some comparisons and not in others (LIKE, regular expressions). It is never faster than `text`, and a later change of its length writes the table anew.',
    safeForm: 'Use `text`, with a CHECK on the length where one is needed.',
    examples: {
      fires: {
        given: 'CREATE TABLE places (id bigint PRIMARY KEY)',
        up: 'ALTER TABLE places ADD COLUMN country char(2)',
      },
      silent: {
        given: 'CREATE TABLE places (id bigint PRIMARY KEY, currency char(3))',
        up: 'ALTER TABLE places ADD COLUMN country char(2)',
        because: 'the table has such columns already, and clients that know them',
      },
    },
  },
  ({ schema, name }) => schema === null && name === 'bpchar',
  (column, type) => `${column} is ${typeText(type)}, padded with blanks`,
);

const moneyType = aboutType(
  {
    code: 'money-type',
    severity: 'warning',
    title: 'money, which depends on a setting',
    why: 'How many decimals a `money` has, and in which currency it is shown, is decided by `lc_monetary` of whoever reads it. A dump read under another setting is another amount.',
    safeForm: 'Use `numeric`, or an integer of the smallest unit, and the currency in a column of its own.',
    examples: {
      fires: { given: 'CREATE TABLE prices (id bigint PRIMARY KEY)', up: 'ALTER TABLE prices ADD COLUMN gross money' },
      silent: {
        given: 'CREATE TABLE prices (id bigint PRIMARY KEY, net money)',
        up: 'ALTER TABLE prices ADD COLUMN gross money',
        because: 'the table counts in money already',
      },
    },
  },
  ({ schema, name }) => schema === null && name === 'money',
  (column) => `${column} means what lc_monetary of its reader says`,
);

const serialNotIdentity: Rule = {
  code: 'serial-not-identity',
  severity: 'note',
  title: 'serial instead of an identity column',
  why: '`serial` is a plain integer with a default: its sequence has grants of its own, so a role that may insert into the table still fails at nextval; a client that writes the number itself leaves the sequence behind, and a later insert meets a duplicate.',
  safeForm: 'Use `bigint GENERATED ALWAYS AS IDENTITY`.',
  check(context) {
    return newColumns(context).flatMap(({ table, column }): Hit[] => {
      const alike = find(context.facts, table)?.columns.some((one) => one.default?.startsWith('nextval(') === true);
      return column.serial && alike !== true
        ? [
            {
              message: `the numbers of ${word(column.name)} of ${shown(table, context.schema)} come from a sequence that has grants of its own`,
            },
          ]
        : [];
    });
  },
  examples: {
    fires: { given: '', up: 'CREATE TABLE tickets (id bigserial PRIMARY KEY)' },
    silent: {
      given: 'CREATE TABLE tickets (id bigserial PRIMARY KEY)',
      up: 'ALTER TABLE tickets ADD COLUMN place bigserial',
      because: 'the table has one already, and its roles the grants',
    },
  },
};

const NARROW = new Map([
  ['int2', '32,767'],
  ['int4', '2,147,483,647'],
]);

const integerPrimaryKey: Rule = {
  code: 'integer-primary-key',
  severity: 'warning',
  title: 'Primary key of 32 bits',
  why: 'An `integer` key ends at 2,147,483,647, and failed and rolled-back inserts use up numbers too. When it runs out, no row can be inserted, and the change to `bigint` then writes this table, and every one that references it, anew. `bigint` costs four bytes a row.',
  safeForm: 'Use `bigint`.',
  check(context) {
    return keyColumns(context).flatMap(({ table, column, type, references }): Hit[] => {
      const most = type.schema === null ? NARROW.get(type.name) : undefined;
      // A key that is a reference too can't have more values than what it points at.
      if (most === undefined || references) return [];
      return [{ message: `no row can be inserted into ${table} after ${word(column)} has come to ${most}` }];
    });
  },
  examples: {
    fires: { given: '', up: 'CREATE TABLE tickets (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY)' },
    silent: {
      given: 'CREATE TABLE tickets (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY)',
      up: 'CREATE TABLE ticket_notes (ticket integer PRIMARY KEY REFERENCES tickets, note text)',
      because: 'the key is that of another table, which is an integer',
    },
  },
};

/** Columns that are by themselves a primary key that the statement makes. */
function keyColumns(context: RuleContext): { table: string; column: string; type: SqlType; references: boolean }[] {
  const { statement, schema } = context;
  if (statement.kind === 'CreateStmt') {
    const { columns, constraints } = tableElements(statement, schema);
    const clauses = [...columns.flatMap((column) => column.constraints), ...constraints];
    const table = shown(relationIn(statement.node['relation'], schema), schema);
    const foreign = clauses.filter(({ kind }) => kind === 'foreign').flatMap((clause) => clause.columns);
    return clauses
      .filter(({ kind, columns: key }) => kind === 'primary' && key.length === 1)
      .flatMap(({ columns: [name = ''] }) => {
        const column = columns.find((one) => one.name === name);
        return column === undefined
          ? []
          : [{ table, column: name, type: typeFor(column, schema), references: foreign.includes(name) }];
      });
  }
  return addedConstraints(context)
    .filter(({ clause }) => clause.kind === 'primary' && clause.columns.length === 1)
    .flatMap(
      ({
        table,
        clause: {
          columns: [name = ''],
        },
      }) => {
        const column = table.columns.find((one) => one.name === name);
        const references = table.constraints.some(({ kind, columns }) => kind === 'foreign' && columns.includes(name));
        return column === undefined
          ? []
          : [{ table: shown(table, schema), column: name, type: typeIn(column.type), references }];
      },
    );
}

const tableWithoutPrimaryKey: Rule = {
  code: 'table-without-primary-key',
  severity: 'warning',
  title: 'Table without a primary key',
  why: "Without a key a row can't be named: logical replication refuses its UPDATE and DELETE, `backfill`, `verify` and `move` have no order to go by, and a row that is there twice can't be told from its twin.",
  safeForm: 'Give it a primary key from the start: later it means a scan.',
  check(context) {
    const { statement, schema, facts } = context;
    if (statement.kind !== 'CreateStmt' || nodeIn(statement.node['relation'])['relpersistence'] === 't') return [];
    const { columns, constraints } = tableElements(statement, schema);
    const clauses = [...columns.flatMap((column) => column.constraints), ...constraints];
    if (clauses.some(({ kind }) => kind === 'primary')) return [];
    const parents = listIn(statement.node['inhRelations']).map((parent) => relationIn(parent, schema));
    const keyed = [...(statement.node['partbound'] === undefined ? [] : parents), ...likeIndexes(context)];
    if (keyed.some((name) => find(facts, name)?.constraints.some(({ kind }) => kind === 'primary') === true)) return [];
    return [
      { message: `the rows of ${shown(relationIn(statement.node['relation'], schema), schema)} can't be told apart` },
    ];
  },
  examples: {
    fires: { given: '', up: 'CREATE TABLE readings (at timestamptz, value double precision)' },
    silent: {
      given:
        'CREATE TABLE readings (sensor bigint, at date, value double precision, PRIMARY KEY (sensor, at)) PARTITION BY RANGE (at)',
      up: "CREATE TABLE readings_2026 PARTITION OF readings FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
      because: 'a partition has the primary key of its parent',
    },
  },
};

const LIKE_INDEXES = 1 << 6;
const likeIndexes = ({ statement, schema }: RuleContext) =>
  listIn(statement.node['tableElts']).flatMap((item) => {
    const { kind, fields } = kindOf(item);
    const withIndexes = kind === 'TableLikeClause' && (Number(fields['options'] ?? 0) & LIKE_INDEXES) !== 0;
    return withIndexes ? [relationIn(fields['relation'], schema)] : [];
  });

export const COLUMN_TYPE_RULES: readonly Rule[] = [
  timestampWithoutTimeZone,
  jsonNotJsonb,
  charPadding,
  moneyType,
  serialNotIdentity,
  integerPrimaryKey,
  tableWithoutPrimaryKey,
];
