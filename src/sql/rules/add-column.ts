import { isVolatile } from '../safe-form/volatile.ts';
import { withoutDomain } from '../type-change.ts';
import { typeOf, typeText } from '../type-name.ts';
import { addedColumns } from './altered-table.ts';
import { EMPTY_USERS, USERS } from './example-tables.ts';
import { find, holdsRows, isLarge, shown, sizeInWords, word } from './relation-words.ts';
import type { Rule, RuleContext } from './rule.ts';

const rewritten = (
  context: RuleContext,
  table: Parameters<typeof shown>[0] & Parameters<typeof sizeInWords>[0],
): string =>
  `readers and writers of ${shown(table, context.schema)} (${sizeInWords(table)}) wait until every row is written anew`;

const addColumnVolatileDefault: Rule = {
  code: 'add-column-volatile-default',
  severity: 'error',
  title: 'Column with a volatile default',
  why: "A constant default, `now()` too, is kept in the catalog: adding the column takes a moment whatever the size of the table. A volatile one (`gen_random_uuid()`, `random()`, `clock_timestamp()`, a function of your own that isn't marked otherwise) is another value for each row, so Postgres writes the whole table and its indexes anew under ACCESS EXCLUSIVE. Nobody reads or writes it until that is done, and the disk holds both copies.",
  safeForm:
    'The engine adds the column without a value, then sets the default for rows to come, then gives the rows that are there their value in short chunks, and NOT NULL, where asked for, through a check.',
  check(context) {
    return addedColumns(context).flatMap(({ table, column }) => {
      if (column.default === null || column.generated !== null || !isLarge(table)) return [];
      if (!isVolatile(column.default, context.schema, context.facts)) return [];
      return [
        { message: `the default of ${word(column.name)} is another value for each row: ${rewritten(context, table)}` },
      ];
    });
  },
  examples: {
    fires: { given: USERS, up: 'ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid()' },
    silent: {
      given: EMPTY_USERS,
      up: 'ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid()',
      because: 'the table never held a row',
    },
  },
};

const addColumnStoredGenerated: Rule = {
  code: 'add-column-stored-generated',
  severity: 'error',
  title: 'Stored generated column',
  why: 'The values of a `STORED` generated column are in the rows, so adding one writes every row and every index anew under ACCESS EXCLUSIVE. Postgres has no other way to add one.',
  safeForm:
    'Add a plain column and keep it in step with `dual-write` and `backfill`; or, from Postgres 18 on, make it `VIRTUAL`, which is computed when it is read and takes a moment to add.',
  check(context) {
    return addedColumns(context)
      .filter(({ table, column }) => column.generated === 'stored' && isLarge(table))
      .map(({ table, column }) => ({
        message: `${word(column.name)} is computed and stored for each row: ${rewritten(context, table)}`,
      }));
  },
  examples: {
    fires: { given: USERS, up: 'ALTER TABLE users ADD COLUMN mail text GENERATED ALWAYS AS (lower(email)) STORED' },
    silent: {
      given: `${USERS};\nTRUNCATE users;\nANALYZE users`,
      up: 'ALTER TABLE users ADD COLUMN mail text GENERATED ALWAYS AS (lower(email)) STORED',
      because: 'the table was truncated: there is no row to write',
    },
  },
};

const addColumnIdentityOrSerial: Rule = {
  code: 'add-column-identity-or-serial',
  severity: 'error',
  title: 'Column that numbers the rows',
  why: 'An identity column, and a `serial` one, gives every row that is there a number of its own: the table and its indexes are written anew under ACCESS EXCLUSIVE. Which row gets which number is chance.',
  safeForm:
    'Add the column without a value, fill it with `backfill` from a sequence, then `ALTER COLUMN … SET NOT NULL` and `ADD GENERATED … AS IDENTITY`, which takes a moment on a column that is there. For `serial` the engine does the like by itself.',
  check(context) {
    return addedColumns(context)
      .filter(({ table, column }) => (column.identity || column.serial) && isLarge(table))
      .map(({ table, column }) => ({ message: `${word(column.name)} numbers the rows: ${rewritten(context, table)}` }));
  },
  examples: {
    fires: { given: USERS, up: 'ALTER TABLE users ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY' },
    silent: {
      given: EMPTY_USERS,
      up: 'ALTER TABLE users ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY',
      because: 'the table has no rows to number',
    },
  },
};

const addColumnConstrainedDomain: Rule = {
  code: 'add-column-constrained-domain',
  severity: 'error',
  title: 'Column of a domain that checks its values',
  why: 'A domain with a CHECK or NOT NULL is checked value by value, even where the column is NULL in all rows. For that Postgres writes the whole table anew under ACCESS EXCLUSIVE. A domain without constraints is as cheap as its base type.',
  safeForm:
    "Add the column with the domain's base type, and the check as a constraint of the table: `ADD CONSTRAINT … CHECK (…) NOT VALID`, then `VALIDATE CONSTRAINT`.",
  check(context) {
    return addedColumns(context).flatMap(({ table, column }) => {
      const type = typeOf(column.type, context.schema);
      if (type.schema === null || !isLarge(table) || withoutDomain(type, context.facts) !== null) return [];
      return [
        {
          message: `${typeText(type)} checks the value of ${word(column.name)} in each row: ${rewritten(context, table)}`,
        },
      ];
    });
  },
  examples: {
    fires: {
      given: `CREATE DOMAIN percentage AS integer CHECK (VALUE BETWEEN 0 AND 100);\n${USERS}`,
      up: 'ALTER TABLE users ADD COLUMN discount percentage',
    },
    silent: {
      given: `CREATE DOMAIN percentage AS integer;\n${USERS}`,
      up: 'ALTER TABLE users ADD COLUMN discount percentage',
      because: 'the domain has no constraints',
    },
  },
};

const addColumnNotNullWithoutDefault: Rule = {
  code: 'add-column-not-null-without-default',
  severity: 'error',
  title: 'NOT NULL column without a default',
  why: "The rows that are there have no value for the column, so the statement fails at the first of them. Where the table is empty it goes through, and then clients of the old version, which don't know the column, can't insert.",
  safeForm:
    'Give it a default, which costs nothing if it is constant; or add it nullable, fill it with `backfill`, and then `SET NOT NULL`.',
  check(context) {
    return addedColumns(context)
      .filter(({ table, column }) => holdsRows(table) && hasNoValue(column))
      .map(({ table, column }) => ({
        message: `it fails: ${shown(table, context.schema)} has rows (${sizeInWords(table)}), and ${word(column.name)} would be NULL in them`,
        safeForm: `ALTER TABLE ${shown(table, context.schema)} ADD COLUMN ${word(column.name)} ${typeText(typeOf(column.type, context.schema))}, then a \`backfill\` step, then ALTER COLUMN ${word(column.name)} SET NOT NULL`,
      }));
  },
  examples: {
    fires: { given: USERS, up: 'ALTER TABLE users ADD COLUMN country text NOT NULL' },
    silent: {
      given: EMPTY_USERS,
      up: 'ALTER TABLE users ADD COLUMN country text NOT NULL',
      because: 'the table has no rows',
    },
  },
};
const hasNoValue = (column: ReturnType<typeof addedColumns>[number]['column']): boolean =>
  column.notNull && column.default === null && column.generated === null && !column.identity && !column.serial;

const addColumnUnique: Rule = {
  code: 'add-column-unique',
  severity: 'error',
  title: 'Column that comes with a unique index',
  why: 'UNIQUE or PRIMARY KEY on the new column builds its index while ADD COLUMN holds ACCESS EXCLUSIVE: readers and writers wait for a scan of the table. With a constant default it also fails as soon as there are two rows.',
  safeForm:
    'The engine adds the column alone, builds the index CONCURRENTLY, and makes the constraint of it with `USING INDEX`.',
  check(context) {
    return addedColumns(context).flatMap(({ table, column }) =>
      isLarge(table) && column.constraints.some(({ kind }) => kind === 'unique' || kind === 'primary')
        ? [
            {
              message: `readers and writers of ${shown(table, context.schema)} (${sizeInWords(table)}) wait until the index on ${word(column.name)} is built`,
            },
          ]
        : [],
    );
  },
  examples: {
    fires: { given: USERS, up: 'ALTER TABLE users ADD COLUMN handle text UNIQUE' },
    silent: {
      given: EMPTY_USERS,
      up: 'ALTER TABLE users ADD COLUMN handle text UNIQUE',
      because: 'there are no rows to index',
    },
  },
};

const addColumnForeignKey: Rule = {
  code: 'add-column-foreign-key',
  severity: 'warning',
  title: 'Column that comes with a foreign key',
  why: 'The statement needs the locks of two tables at once: ACCESS EXCLUSIVE on its own and SHARE ROW EXCLUSIVE on the referenced one. While it waits for the second, everybody waits for the first. With a default every row is checked under both.',
  safeForm:
    'The engine adds the column alone, then the foreign key `NOT VALID`, then validates it under locks that let everybody go on.',
  check(context) {
    return addedColumns(context).flatMap(({ table, column }) => {
      const foreign = column.constraints.find(({ kind }) => kind === 'foreign');
      const target = foreign?.references == null ? undefined : find(context.facts, foreign.references);
      if (target === undefined || (!isLarge(table) && !isLarge(target))) return [];
      const [own, other] = [shown(table, context.schema), shown(target, context.schema)];
      const checked = column.default !== null && isLarge(table);
      return [
        {
          message: checked
            ? `readers and writers of ${own} (${sizeInWords(table)}) and writers of ${other} wait until every row's reference is checked`
            : `readers and writers of ${own} (${sizeInWords(table)}) wait for as long as ${other} can't be locked`,
          ...(checked && { severity: 'error' as const }),
        },
      ];
    });
  },
  examples: {
    fires: {
      given: `CREATE TABLE countries (id bigint PRIMARY KEY);\n${USERS}`,
      up: 'ALTER TABLE users ADD COLUMN country bigint REFERENCES countries',
    },
    silent: {
      given: `CREATE TABLE countries (id bigint PRIMARY KEY);\n${EMPTY_USERS}`,
      up: 'ALTER TABLE users ADD COLUMN country bigint REFERENCES countries',
      because: 'both tables are empty: nobody works on them yet',
    },
  },
};

export const ADD_COLUMN_RULES: readonly Rule[] = [
  addColumnVolatileDefault,
  addColumnStoredGenerated,
  addColumnIdentityOrSerial,
  addColumnConstrainedDomain,
  addColumnNotNullWithoutDefault,
  addColumnUnique,
  addColumnForeignKey,
];
