import type { RelationFacts } from '../facts.ts';
import { type ConstraintClause, type Name, nodeIn, relationIn, sameName, tableElements } from '../tree.ts';
import { typeIn, typeOf, typeText } from '../type-name.ts';
import { addedColumns, addedConstraints } from './altered-table.ts';
import { large } from './example-tables.ts';
import { find, holdsRows, isLarge, listed, shown, sizeInWords, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

/** A foreign key that a statement makes, with the types that its columns have or will have. */
interface ForeignKey {
  table: Name;
  /** The table as it is; null where the statement makes it. */
  facts: RelationFacts | null;
  clause: ConstraintClause;
  target: RelationFacts | undefined;
  /** The referenced columns: the primary key's, where none are named. */
  targetColumns: readonly string[];
  typeOfColumn(name: string): string | null;
  /** Lists of columns that an index starts with, those of constraints in the same statement too. */
  indexed: readonly (readonly (string | null)[])[];
}

function foreignKeys(context: RuleContext): ForeignKey[] {
  const { statement, schema, facts } = context;
  if (statement.kind === 'CreateStmt') {
    const table = relationIn(statement.node['relation'], schema);
    const { columns, constraints } = tableElements(statement, schema);
    const clauses = [...columns.flatMap((column) => column.constraints), ...constraints];
    const keys = clauses.filter(({ kind }) => kind === 'primary' || kind === 'unique').map((clause) => clause.columns);
    const type = (name: string): string | null => {
      const column = columns.find((one) => one.name === name);
      return column === undefined ? null : typeText(typeOf(column.type, schema));
    };
    return clauses.flatMap((clause) =>
      foreignKey(context, { table, facts: null, clause, typeOfColumn: type, indexed: keys }),
    );
  }
  const inline = addedColumns(context).flatMap(({ table, column }) =>
    column.constraints.map((clause) => ({ table, clause, type: typeText(typeOf(column.type, schema)) })),
  );
  const all = [...addedConstraints(context).map((one) => ({ ...one, type: null })), ...inline];
  return all.flatMap(({ table, clause, type }) =>
    foreignKey(context, {
      table,
      facts: find(facts, table) ?? null,
      clause,
      typeOfColumn: (name) => type ?? table.columns.find((column) => column.name === name)?.type ?? null,
      indexed: table.indexes.filter((index) => index.valid && !index.partial).map((index) => index.columns),
    }),
  );
}

function foreignKey({ facts }: RuleContext, found: Omit<ForeignKey, 'target' | 'targetColumns'>): ForeignKey[] {
  const { references } = found.clause;
  if (references === null) return [];
  const target = find(facts, references);
  const key = target?.constraints.find(({ kind }) => kind === 'primary')?.columns ?? [];
  return [{ ...found, target, targetColumns: references.columns.length > 0 ? references.columns : key }];
}

const ORDERS = large('orders', 'id bigint PRIMARY KEY, customer bigint, note text', "i, i, 'x'");
const CUSTOMERS = large('customers', 'id bigint PRIMARY KEY');

const foreignKeyNotValidatedApart: Rule = {
  code: 'foreign-key-not-validated-apart',
  severity: 'error',
  title: 'Foreign key that checks all rows at once',
  why: "Without NOT VALID every row's reference is looked up while both tables are locked SHARE ROW EXCLUSIVE: they can be read, but nobody writes to either of them until it is done. NOT VALID takes a moment, and counts for all rows written from then on.",
  safeForm:
    'The engine adds it `NOT VALID`, and then runs `VALIDATE CONSTRAINT` in a transaction of its own, under locks that let everybody read and write.',
  check(context) {
    return addedConstraints(context).flatMap(({ table, clause }): Hit[] => {
      if (clause.references === null || clause.notValid || !isLarge(table)) return [];
      const target = find(context.facts, clause.references);
      const both = [table, ...(target === undefined || sameName(target, table) || target.fresh ? [] : [target])];
      const names = both.map((one) => `${shown(one, context.schema)} (${sizeInWords(one)})`);
      return [{ message: `writers of ${listed(names)} wait until every reference is checked` }];
    });
  },
  examples: {
    fires: {
      given: `${CUSTOMERS};\n${ORDERS}`,
      up: 'ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer) REFERENCES customers',
    },
    silent: {
      given: `${CUSTOMERS};\nCREATE TABLE orders (id bigint PRIMARY KEY, customer bigint)`,
      up: 'ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer) REFERENCES customers',
      because: 'the table has no rows whose references could be checked',
    },
  },
};

const foreignKeyWithoutIndex: Rule = {
  code: 'foreign-key-without-index',
  severity: 'warning',
  title: 'Foreign key whose columns have no index',
  why: 'Postgres indexes the referenced columns, never the referencing ones. Each DELETE, and each UPDATE of the key, of a referenced row then reads the whole referencing table, and holds its lock all that time.',
  safeForm: 'Build an index that starts with the columns, CONCURRENTLY, in a step before.',
  check(context) {
    return foreignKeys(context).flatMap((key): Hit[] => {
      const { columns } = key.clause;
      const covered = key.indexed.some((index) =>
        columns.every((column) => index.slice(0, columns.length).includes(column)),
      );
      if (covered || columns.length === 0) return [];
      const small = key.facts === null || !isLarge(key.facts);
      const target = key.target === undefined ? 'the referenced table' : shown(key.target, context.schema);
      return [
        {
          message: `each DELETE in ${target} reads ${shown(key.table, context.schema)} from end to end: no index starts with (${columns.map(word).join(', ')})`,
          // What is new or small may get its index yet before it matters.
          ...(small && { severity: 'note' as const }),
        },
      ];
    });
  },
  examples: {
    fires: {
      given: `${CUSTOMERS};\n${ORDERS}`,
      up: 'ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer) REFERENCES customers NOT VALID',
    },
    silent: {
      given: `${CUSTOMERS};\n${ORDERS};\nCREATE INDEX orders_customer_id ON orders (customer, id)`,
      up: 'ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer) REFERENCES customers NOT VALID',
      because: 'the index `orders_customer_id` starts with the column',
    },
  },
};

const foreignKeyTypeMismatch: Rule = {
  code: 'foreign-key-type-mismatch',
  severity: 'warning',
  title: 'Foreign key between columns of different types',
  why: "Postgres allows a reference from `integer` to `bigint`. The narrower column runs out first: from the first key it can't hold on, rows can't be inserted any more. Text of another length, or numeric against integer, makes every check cast.",
  safeForm: 'Give the referencing column the type of the referenced one.',
  check(context) {
    return foreignKeys(context).flatMap((key) =>
      key.clause.columns.flatMap((column, at): Hit[] => {
        const own = key.typeOfColumn(column);
        const other = key.target?.columns.find(({ name }) => name === key.targetColumns[at])?.type;
        if (own === null || other === undefined) return [];
        const [a, b] = [typeIn(own), typeIn(other)];
        if (a.name === b.name && a.schema === b.schema) return [];
        return [
          {
            message: `${word(column)} is ${own}, and ${word(key.targetColumns[at] ?? '')} of ${shown(key.clause.references ?? key.table, context.schema)} is ${other}`,
          },
        ];
      }),
    );
  },
  examples: {
    fires: {
      given: 'CREATE TABLE customers (id bigint PRIMARY KEY)',
      up: 'CREATE TABLE orders (id bigint PRIMARY KEY, customer integer REFERENCES customers)',
    },
    silent: {
      given: 'CREATE TABLE customers (id integer PRIMARY KEY)',
      up: 'CREATE TABLE orders (id bigint PRIMARY KEY, customer integer REFERENCES customers)',
      because: 'the referenced key is an integer too',
    },
  },
};

const referenceLock: Rule = {
  code: 'reference-lock',
  severity: 'note',
  title: 'Foreign key that locks a large table it points at',
  why: 'A foreign key puts triggers on the referenced table too, and takes SHARE ROW EXCLUSIVE on it for a moment: its writers wait, and while an old transaction that writes to it is open, everybody who comes later waits behind. It is easy to overlook, since the statement is about another table.',
  safeForm: 'Nothing to write: the lock ladder keeps the wait to its timeout and tries again.',
  check(context) {
    return foreignKeys(context).flatMap(({ table, target }): Hit[] => {
      if (target === undefined || sameName(target, table) || !isLarge(target)) return [];
      const made = context.statement.kind === 'CreateStmt' ? 'the new table' : shown(table, context.schema);
      return [
        {
          message: `writers of ${shown(target, context.schema)} (${sizeInWords(target)}) wait for a moment, because ${made} references it`,
        },
      ];
    });
  },
  examples: {
    fires: {
      given: CUSTOMERS,
      up: 'CREATE TABLE invoices (id bigint PRIMARY KEY, customer bigint REFERENCES customers)',
    },
    silent: {
      given: 'CREATE TABLE customers (id bigint PRIMARY KEY);\nINSERT INTO customers VALUES (1);\nANALYZE customers',
      up: 'CREATE TABLE invoices (id bigint PRIMARY KEY, customer bigint REFERENCES customers)',
      because: 'the referenced table has one row',
    },
  },
};

const CASCADES: Readonly<Record<string, string>> = { c: 'deletes', n: 'sets NULL in', d: 'sets the default in' };

const foreignKeyCascades: Rule = {
  code: 'foreign-key-cascades',
  severity: 'note',
  title: 'Foreign key that changes rows by itself',
  why: 'With ON DELETE CASCADE (SET NULL, SET DEFAULT) one DELETE of a referenced row reaches any number of rows, in one transaction, with all their triggers and locks. Nothing in the statement of the client shows it.',
  safeForm: 'Leave the deletion to the application, in chunks, where many rows can hang on one.',
  check(context) {
    return foreignKeys(context).flatMap(({ clause, facts, table, target }): Hit[] => {
      const does = CASCADES[String(nodeIn(clause.node)['fk_del_action'])];
      if (does === undefined || facts === null || !isLarge(facts) || target === undefined || !holdsRows(target))
        return [];
      return [
        {
          message: `one DELETE in ${shown(target, context.schema)} ${does} ${shown(table, context.schema)} (${sizeInWords(facts)}) as many rows as hang on it`,
        },
      ];
    });
  },
  examples: {
    fires: {
      given: `${CUSTOMERS};\n${ORDERS};\nCREATE INDEX orders_customer_id ON orders (customer)`,
      up: 'ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer) REFERENCES customers ON DELETE CASCADE NOT VALID',
    },
    silent: {
      given: `${CUSTOMERS};\nCREATE TABLE orders (id bigint PRIMARY KEY, customer bigint);\nINSERT INTO orders VALUES (1, 1);\nANALYZE orders`,
      up: 'ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer) REFERENCES customers ON DELETE CASCADE NOT VALID',
      because: 'the referencing table has one row',
    },
  },
};

export const FOREIGN_KEY_RULES: readonly Rule[] = [
  foreignKeyNotValidatedApart,
  foreignKeyWithoutIndex,
  foreignKeyTypeMismatch,
  referenceLock,
  foreignKeyCascades,
];
