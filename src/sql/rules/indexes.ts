import type { IndexFacts, RelationFacts } from '../facts.ts';
import { cascades, droppedObjects, nameIn, objectType } from '../tree.ts';
import { counted, find, holdsRows, isLarge, listed, shown, sizeInWords, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';
import { indexNamed, isPlain, startsWith, type WrittenIndex, writtenIndex } from './written-index.ts';

/** The index that a statement makes and the table it is for, where the catalog has that. */
function built({ statement, schema, facts }: RuleContext): { index: WrittenIndex; table: RelationFacts } | null {
  const index = writtenIndex(statement, schema);
  const table = index === null ? undefined : find(facts, index.table);
  return index === null || table === undefined ? null : { index, table };
}

/** The indexes that a statement drops, with their tables. */
function droppedIndexes({ statement, schema, facts }: RuleContext): { table: RelationFacts; index: IndexFacts }[] {
  if (statement.kind !== 'DropStmt' || objectType(statement) !== 'OBJECT_INDEX') return [];
  return droppedObjects(statement).flatMap((texts) => indexNamed(facts.relations, nameIn(texts, schema)) ?? []);
}

const LARGE = (table: string, columns: string): string =>
  `CREATE TABLE ${table} (${columns});\nINSERT INTO ${table} SELECT i, i FROM generate_series(1, 20000) i;\nANALYZE ${table}`;
const ORDERS = LARGE('orders', 'id bigint, customer bigint');

const indexNotConcurrently: Rule = {
  code: 'index-not-concurrently',
  severity: 'error',
  title: 'Index built without CONCURRENTLY',
  why: '`CREATE INDEX` holds a SHARE lock on the table until the index is complete. Whoever writes the table waits all that time, and behind the writers soon everybody who needs a connection.',
  safeForm:
    'The engine builds it with `CREATE INDEX CONCURRENTLY`: it takes longer, and nobody waits. After a crash an INVALID leftover of ours is found and built anew.',
  check(context) {
    const found = built(context);
    if (found === null || found.index.concurrently || found.table.kind === 'partitioned' || !isLarge(found.table))
      return [];
    const table = shown(found.table, context.schema);
    return [
      {
        message: `writers of ${table} (${sizeInWords(found.table)}) wait until the index is built`,
        safeForm: context.statement.text.replace(/\bINDEX\b/i, 'INDEX CONCURRENTLY'),
      },
    ];
  },
  examples: {
    fires: { given: ORDERS, up: 'CREATE INDEX orders_customer ON orders (customer)' },
    silent: {
      given: 'CREATE TABLE orders (id bigint, customer bigint)',
      up: 'CREATE INDEX orders_customer ON orders (customer)',
      because: 'the table never held a row',
    },
  },
};

const PARTITIONED = `CREATE TABLE events (id bigint, at date) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')`;
const indexOnPartitionedParent: Rule = {
  code: 'index-on-partitioned-parent',
  severity: 'error',
  title: 'Index on a partitioned table in one statement',
  why: '`CREATE INDEX` on a partitioned table builds the index of every partition in one transaction and holds a SHARE lock on all of them until the last one is done. CONCURRENTLY is not available for a partitioned table: Postgres refuses it.',
  safeForm:
    'The engine makes the index ON ONLY the parent, builds one CONCURRENTLY for each partition and attaches them one by one; with the last one the index of the parent becomes valid.',
  check(context) {
    const found = built(context);
    if (found === null || found.table.kind !== 'partitioned' || found.index.only) return [];
    const { index, table } = found;
    const leaves = table.partitions.filter(({ leaf }) => leaf).length;
    const name = shown(table, context.schema);
    if (!index.concurrently && !isLarge(table)) return [];
    const message = index.concurrently
      ? `Postgres has no CONCURRENTLY for ${name}, which is partitioned`
      : `writers of ${name} and its ${counted(leaves, 'partition')} (${sizeInWords(table)}) wait until every index is built`;
    return [{ message }];
  },
  examples: {
    fires: {
      given: `${PARTITIONED};\nINSERT INTO events SELECT i, '2026-02-02' FROM generate_series(1, 20000) i;\nANALYZE events_2026`,
      up: 'CREATE INDEX events_at ON events (at)',
    },
    silent: {
      given: PARTITIONED,
      up: 'CREATE INDEX events_at ON events (at)',
      because: 'no partition holds a row',
    },
  },
};

const dropIndexNotConcurrently: Rule = {
  code: 'drop-index-not-concurrently',
  severity: 'warning',
  title: 'Index dropped without CONCURRENTLY',
  why: '`DROP INDEX` takes the ACCESS EXCLUSIVE lock of the table. It holds it for a moment only, but it first waits for every transaction that uses the table, and all who come later wait behind it. The lock ladder keeps that to its timeout.',
  safeForm: '`DROP INDEX CONCURRENTLY` waits for the others without making anybody wait.',
  check(context) {
    if (context.statement.node['concurrent'] === true) return [];
    return droppedIndexes(context).flatMap(({ table, index }): Hit[] => {
      if (!isLarge(table) || table.kind === 'partitioned') return [];
      return [
        {
          message: `readers and writers of ${shown(table, context.schema)} (${sizeInWords(table)}) wait for as long as ${word(index.name)} can't be locked`,
          ...(!cascades(context.statement) && {
            safeForm: `DROP INDEX CONCURRENTLY ${shown({ schema: table.schema, name: index.name }, context.schema)}`,
          }),
        },
      ];
    });
  },
  examples: {
    fires: { given: `${ORDERS};\nCREATE INDEX orders_customer ON orders (customer)`, up: 'DROP INDEX orders_customer' },
    silent: {
      given: 'CREATE TABLE orders (id bigint, customer bigint);\nCREATE INDEX orders_customer ON orders (customer)',
      up: 'DROP INDEX orders_customer',
      because: 'the table holds no rows',
    },
  },
};

/** What nothing else would do once the index is gone, in words. */
function tasksOf({ schema }: RuleContext, table: RelationFacts, index: IndexFacts): string[] {
  const others = table.indexes.filter((one) => one.name !== index.name && one.valid && !one.partial);
  const tasks: string[] = [];
  if (index.constraint !== null) tasks.push(`it is the index of constraint ${word(index.constraint)}`);
  const isRival = (one: IndexFacts): boolean =>
    one.unique &&
    one.columns.length <= index.columns.length &&
    index.columns.every((c) => c !== null) &&
    one.columns.every((column) => column !== null && index.columns.includes(column));
  if (index.unique && index.constraint === null && index.valid && !others.some(isRival))
    tasks.push(
      `it alone keeps ${index.definition.slice(index.definition.indexOf('('))} unique, and ON CONFLICT needs it`,
    );
  for (const constraint of table.constraints) {
    if (constraint.kind !== 'foreign' || constraint.references === null || index.partial || !isLarge(table)) continue;
    const serves = (one: IndexFacts): boolean => startsWith(one.columns, constraint.columns, { anyOrder: true });
    if (!serves(index) || others.some(serves)) continue;
    tasks.push(
      `every DELETE of ${shown(constraint.references, schema)} would read all of ${shown(table, schema)} (${sizeInWords(table)}) for foreign key ${word(constraint.name)}`,
    );
  }
  return tasks;
}

const CUSTOMERS = `CREATE TABLE customers (id bigint PRIMARY KEY);
INSERT INTO customers SELECT generate_series(1, 20000);
CREATE TABLE orders (id bigint, customer bigint REFERENCES customers);
INSERT INTO orders SELECT i, i FROM generate_series(1, 20000) i;
ANALYZE orders;
CREATE INDEX orders_customer ON orders (customer)`;
const dropIndexInUse: Rule = {
  code: 'drop-index-in-use',
  severity: 'error',
  title: 'Index dropped that nothing replaces',
  why: 'Without the index of its columns a foreign key makes every DELETE and key UPDATE of the other table read the whole table, with rows locked. Without the only unique index, duplicates come in and `ON CONFLICT` fails at once. The index of a constraint can be dropped only with the constraint.',
  safeForm:
    'Build the index that takes its place first (`CREATE INDEX CONCURRENTLY`), in an earlier statement of the same plan. A constraint goes with `ALTER TABLE … DROP CONSTRAINT`.',
  check(context) {
    return droppedIndexes(context).flatMap(({ table, index }): Hit[] => {
      if (table.fresh) return [];
      return tasksOf(context, table, index).map((task) => ({ message: `without ${word(index.name)}: ${task}` }));
    });
  },
  examples: {
    fires: { given: CUSTOMERS, up: 'DROP INDEX CONCURRENTLY orders_customer' },
    silent: {
      given: `${CUSTOMERS};\nCREATE INDEX orders_customer_id ON orders (customer, id)`,
      up: 'DROP INDEX CONCURRENTLY orders_customer',
      because: 'another index starts with the columns of the foreign key',
    },
  },
};

const indexDuplicatesAnother: Rule = {
  code: 'index-duplicates-another',
  severity: 'warning',
  title: 'Index that another one covers',
  why: 'A B-tree on `(a, b)` answers everything that one on `(a)` answers. A second one costs disk, memory and time at every write, and gives nothing.',
  safeForm: 'Leave the new index out, or drop the shorter one once the new one is there.',
  check(context) {
    const found = built(context);
    if (found === null || !found.index.plain || found.index.partial || found.index.method !== 'btree') return [];
    const { index, table } = found;
    if (!holdsRows(table)) return [];
    const like = table.indexes.filter(
      (one) => one.name !== index.name && one.valid && !one.partial && one.method === 'btree' && isPlain(one),
    );
    const covering = like.find(
      (one) =>
        startsWith(one.columns, index.columns, { anyOrder: false }) &&
        (!index.unique || (one.unique && one.columns.length === index.columns.length)),
    );
    const columns = `(${index.columns.map((column) => word(column ?? '')).join(', ')})`;
    if (covering !== undefined)
      return [{ message: `index ${word(covering.name)} of ${shown(table, context.schema)} already serves ${columns}` }];
    const shorter = like.find(
      (one) =>
        !one.unique &&
        one.constraint === null &&
        one.columns.length < index.columns.length &&
        startsWith(index.columns, one.columns, { anyOrder: false }),
    );
    if (shorter === undefined) return [];
    const message = `once it is there, index ${word(shorter.name)} of ${shown(table, context.schema)} serves nothing that ${columns} doesn't`;
    return [{ severity: 'note', message, safeForm: `DROP INDEX CONCURRENTLY ${word(shorter.name)}` }];
  },
  examples: {
    fires: {
      given: `${ORDERS};\nCREATE INDEX orders_customer_id ON orders (customer, id)`,
      up: 'CREATE INDEX CONCURRENTLY orders_customer ON orders (customer)',
    },
    silent: {
      given: `${ORDERS};\nCREATE INDEX orders_customer_id ON orders (customer, id) WHERE id > 100`,
      up: 'CREATE INDEX CONCURRENTLY orders_customer ON orders (customer)',
      because: 'the other index holds only some of the rows',
    },
  },
};

/** What stands in the way of an index of that name, in words; null where what is there is what is wanted. */
function obstacle({ schema, facts }: RuleContext, index: WrittenIndex): string | null {
  if (index.name === null) return null;
  const name = { schema: index.table.schema, name: index.name };
  const other = indexNamed(facts.relations, name);
  if (other === null) {
    const relation = find(facts, name);
    return relation === undefined ? null : `${shown(name, schema)} is a ${relation.kind}`;
  }
  const table = shown(other.table, schema);
  if (other.table.schema !== index.table.schema || other.table.name !== index.table.name)
    return `${word(index.name)} is an index of ${table}`;
  // What a crashed build leaves is told by another rule; of a partitioned table INVALID says that partitions lack theirs.
  if (!other.index.valid)
    return `${word(index.name)} of ${table} is INVALID: no query uses it, and every write pays for it`;
  const same =
    other.index.columns.length === index.columns.length &&
    other.index.columns.every((column, at) => column === index.columns[at]) &&
    other.index.unique === index.unique &&
    other.index.partial === index.partial &&
    other.index.method === index.method;
  return same ? null : `${word(index.name)} of ${table} is another one: ${other.index.definition}`;
}

const BROKEN = `${ORDERS};
CREATE UNIQUE INDEX orders_customer ON orders (customer);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_customer'::regclass`;
const indexNameTaken: Rule = {
  code: 'index-name-taken',
  severity: 'error',
  title: 'IF NOT EXISTS takes another index for the wanted one',
  why: '`CREATE INDEX IF NOT EXISTS` looks at the name only. Where an index of that name is INVALID, has other columns or belongs to another table, Postgres reports success and builds nothing. Without IF NOT EXISTS the statement fails.',
  safeForm: 'Drop what has the name (`DROP INDEX CONCURRENTLY`), or give the new index a name of its own.',
  check(context) {
    const index = writtenIndex(context.statement, context.schema);
    const other = index === null ? null : obstacle(context, index);
    if (index === null || other === null) return [];
    return [{ message: index.ifNotExists ? `nothing would be built: ${other}` : `it fails: ${other}` }];
  },
  examples: {
    fires: {
      given: BROKEN,
      up: 'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS orders_customer ON orders (customer)',
    },
    silent: {
      given: `${ORDERS};\nCREATE UNIQUE INDEX orders_customer ON orders (customer)`,
      up: 'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS orders_customer ON orders (customer)',
      because: 'the index that is there is valid and has the same columns',
    },
  },
};

const invalidLeftover: Rule = {
  code: 'index-of-invalid-leftover',
  severity: 'warning',
  title: 'An INVALID index is left on the table',
  why: 'A build that failed or was cancelled leaves its index behind, INVALID. No query uses it, every write keeps it up to date, and a unique one even goes on refusing duplicates.',
  safeForm: 'Drop it (`DROP INDEX CONCURRENTLY`) before the new one is built.',
  check(context) {
    const found = built(context);
    if (found === null || found.table.kind === 'partitioned' || found.table.fresh) return [];
    return found.table.indexes
      .filter((one) => !one.valid && one.name !== found.index.name)
      .map((one) => ({
        message: `${word(one.name)} of ${shown(found.table, context.schema)} is INVALID: ${one.definition}`,
        safeForm: `DROP INDEX CONCURRENTLY ${shown({ schema: found.table.schema, name: one.name }, context.schema)}`,
      }));
  },
  examples: {
    fires: { given: BROKEN, up: 'CREATE INDEX CONCURRENTLY orders_by_id ON orders (id)' },
    silent: {
      given: `${ORDERS};\nCREATE INDEX orders_customer ON orders (customer)`,
      up: 'CREATE INDEX CONCURRENTLY orders_by_id ON orders (id)',
      because: 'all indexes of the table are valid',
    },
  },
};

const uniqueIndexMayFail: Rule = {
  code: 'unique-index-may-fail',
  severity: 'warning',
  title: 'Unique index over rows that nothing kept apart so far',
  why: 'Where two rows have the same key the build fails at its end, after all the work, and a CONCURRENTLY build leaves an INVALID index that refuses new duplicates from then on.',
  safeForm:
    'Count the duplicates before, in a `check` step: `SELECT count(*) FROM (SELECT FROM t GROUP BY a HAVING count(*) > 1) AS twice` with `max: 0`. After a failure the engine drops its INVALID index.',
  check(context) {
    const found = built(context);
    if (found === null || !found.index.unique || !holdsRows(found.table)) return [];
    const { index, table } = found;
    const kept = table.indexes.some(
      (one) =>
        one.unique &&
        one.valid &&
        !one.partial &&
        one.columns.every((column) => column !== null && index.columns.includes(column)),
    );
    if (kept) return [];
    const columns = listed(index.columns.map((column) => (column === null ? 'an expression' : word(column))));
    return [
      { message: `nothing so far keeps ${columns} of ${shown(table, context.schema)} (${sizeInWords(table)}) unique` },
    ];
  },
  examples: {
    fires: { given: ORDERS, up: 'CREATE UNIQUE INDEX CONCURRENTLY one_order ON orders (customer)' },
    silent: {
      given: `${ORDERS};\nALTER TABLE orders ADD PRIMARY KEY (id)`,
      up: 'CREATE UNIQUE INDEX CONCURRENTLY one_order ON orders (customer, id)',
      because: 'the primary key already keeps a part of the key unique',
    },
  },
};

const concurrentlyWaits: Rule = {
  code: 'concurrently-waits-for-old-snapshots',
  severity: 'warning',
  title: 'CONCURRENTLY waits for old transactions',
  why: 'A CONCURRENTLY build waits until every transaction of the database that is older than its phases has ended, also those that never touch the table: a report, a forgotten session, a dump. Until then the index is not valid and VACUUM is held back.',
  safeForm: 'End or wait out those sessions first; a phase can wait for it with the precondition `longTransactions`.',
  check(context) {
    const found = built(context);
    const drops = droppedIndexes(context).find(({ table }) => isLarge(table))?.table;
    const waits =
      found === null ? context.statement.node['concurrent'] === true : found.index.concurrently || isLarge(found.table);
    const table = found?.table ?? drops;
    const [oldest, ...others] = context.facts.oldSnapshots;
    if (!waits || table === undefined || table.fresh || oldest === undefined) return [];
    const more = others.length === 0 ? '' : ` and ${counted(others.length, 'more session')}`;
    return [
      {
        message: `it waits for ${oldest.application} (pid ${oldest.pid}), whose transaction is ${counted(oldest.ageSeconds, 'second')} old${more}`,
      },
    ];
  },
  examples: {
    fires: {
      given: ORDERS,
      meanwhile: {
        words: 'a report has had its transaction open for an hour',
        facts: (facts) => ({ ...facts, oldSnapshots: [{ pid: '4711', application: 'report', ageSeconds: 3_600 }] }),
      },
      up: 'CREATE INDEX CONCURRENTLY orders_customer ON orders (customer)',
    },
    silent: {
      given: ORDERS,
      up: 'CREATE INDEX CONCURRENTLY orders_customer ON orders (customer)',
      because: 'no session has a transaction of over a minute open',
    },
  },
};

export const INDEX_RULES: readonly Rule[] = [
  indexNotConcurrently,
  indexOnPartitionedParent,
  dropIndexNotConcurrently,
  dropIndexInUse,
  indexDuplicatesAnother,
  indexNameTaken,
  invalidLeftover,
  uniqueIndexMayFail,
  concurrentlyWaits,
];
