import { columnsOf } from '../expression.ts';
import type { RelationFacts } from '../facts.ts';
import {
  alterCommands,
  constraintClause,
  fieldsOf,
  listIn,
  type Name,
  nodeIn,
  relationIn,
  tableElements,
} from '../tree.ts';
import { find, isLarge, listed, shown, sizeInWords, subject, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';
import { writtenIndex } from './written-index.ts';

/** ATTACH and DETACH PARTITION: the partitioned table and the partition, where the catalog has them. */
function partitionCommand(
  context: RuleContext,
  subtype: 'AT_AttachPartition' | 'AT_DetachPartition',
): { parent: RelationFacts; child: RelationFacts | undefined; concurrently: boolean; isDefault: boolean } | null {
  const command = alterCommands(context.statement).find((one) => one.subtype === subtype);
  const parent = subject(context);
  // ALTER INDEX … ATTACH PARTITION is a matter of the catalog only.
  if (command === undefined || parent === undefined || parent.kind === 'index') return null;
  const child = find(context.facts, relationIn(command.def['name'], context.schema));
  const isDefault = nodeIn(command.def['bound'])['is_default'] === true;
  return { parent, child, concurrently: command.def['concurrent'] === true, isDefault };
}

/** `RANGE (at, lower(kind))` → `['at', 'kind']`. */
export function partitionColumns({ standing }: RelationFacts): string[] {
  const key = standing?.partitionKey ?? null;
  if (key === null) return [];
  return columnsOf(`row${key.slice(key.indexOf('('))}`);
}

/** The parent's DEFAULT partition, where it has one. */
const defaultOf = (context: RuleContext, parent: RelationFacts): RelationFacts | undefined =>
  parent.partitions
    .filter((one) => one.parent.schema === parent.schema && one.parent.name === parent.name)
    .map((one) => find(context.facts, one))
    .find((one) => one?.standing?.bound === 'DEFAULT');

/** A validated CHECK over all columns of the partition key: Postgres may prove from it that there is nothing to read. */
function proofOf(table: RelationFacts, parent: RelationFacts): string | null {
  const key = partitionColumns(parent);
  const proof = table.constraints.find(
    (one) => one.kind === 'check' && one.validated && key.every((column) => one.columns.includes(column)),
  );
  return proof?.name ?? null;
}

const PARENT = `CREATE TABLE events (id bigint NOT NULL, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')`;
const CHILD = `${PARENT};
CREATE TABLE events_2025 (id bigint NOT NULL, at date NOT NULL);
INSERT INTO events_2025 SELECT i, '2025-05-05' FROM generate_series(1, 20000) i;
ANALYZE events_2025`;
const ATTACH = "ALTER TABLE events ATTACH PARTITION events_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')";

const attachScans: Rule = {
  code: 'attach-partition-scans',
  severity: 'error',
  title: 'ATTACH PARTITION reads the whole new partition',
  why: 'Postgres has to know that every row of the new partition is within its bounds. Without a CHECK constraint that says so it reads the table, under an ACCESS EXCLUSIVE lock on it: its readers and writers wait all that time.',
  safeForm:
    'Add a CHECK over the bounds (with `IS NOT NULL` for every key column) as NOT VALID, validate it, attach, then drop the CHECK: the read happens in VALIDATE, under a lock that makes nobody wait.',
  check(context) {
    const command = partitionCommand(context, 'AT_AttachPartition');
    const { parent, child } = command ?? {};
    if (command === null || parent === undefined || child === undefined || !isLarge(child)) return [];
    if (proofOf(child, parent) !== null) return [];
    const name = shown(child, context.schema);
    return [
      {
        message: `readers and writers of ${name} (${sizeInWords(child)}) wait while all of it is checked against its bounds`,
        safeForm: `ALTER TABLE ${name} ADD CONSTRAINT ${word(`${child.name}_bounds`)} CHECK (…) NOT VALID; ALTER TABLE ${name} VALIDATE CONSTRAINT ${word(`${child.name}_bounds`)}; ${context.statement.text}`,
      },
    ];
  },
  examples: {
    fires: { given: CHILD, up: ATTACH },
    silent: {
      given: `${CHILD};\nALTER TABLE events_2025 ADD CONSTRAINT year CHECK (at IS NOT NULL AND at >= '2025-01-01' AND at < '2026-01-01')`,
      up: ATTACH,
      because: 'a validated CHECK already covers the partition key',
    },
  },
};

/** What happens to the DEFAULT partition when another one joins. */
function defaultScan(context: RuleContext, parent: RelationFacts): Hit[] {
  const rest = defaultOf(context, parent);
  if (rest === undefined || !isLarge(rest)) return [];
  const proof = proofOf(rest, parent);
  const name = shown(rest, context.schema);
  const message = `readers and writers of ${name}, the DEFAULT partition of ${shown(parent, context.schema)} (${sizeInWords(rest)}), wait while all of it is searched for rows of the new one`;
  return proof === null
    ? [{ message }]
    : [{ severity: 'warning', message: `${message}, unless its CHECK ${word(proof)} rules out the new bounds` }];
}

const DEFAULT = (rows: number): string => `${PARENT};
CREATE TABLE events_rest PARTITION OF events DEFAULT;
INSERT INTO events SELECT i, '2030-01-01' FROM generate_series(1, ${rows}) i;
ANALYZE events_rest`;
const EXCLUDE =
  'Add a CHECK to the DEFAULT partition that rules out the new bounds, as NOT VALID, and validate it; then Postgres has nothing to search. Drop the CHECK afterwards.';

const attachDefaultScans: Rule = {
  code: 'attach-partition-default-scans',
  severity: 'error',
  title: 'ATTACH PARTITION reads the whole DEFAULT partition',
  why: 'Rows that belong to the new partition may have gone to the DEFAULT one. Postgres searches it for them under an ACCESS EXCLUSIVE lock on it, and all who use the DEFAULT partition wait. Where it finds one, the statement fails after all that.',
  safeForm: EXCLUDE,
  check(context) {
    const command = partitionCommand(context, 'AT_AttachPartition');
    return command === null || command.isDefault ? [] : defaultScan(context, command.parent);
  },
  examples: {
    fires: { given: `${DEFAULT(20_000)};\nCREATE TABLE events_2025 (LIKE events)`, up: ATTACH },
    silent: {
      given: `${DEFAULT(5)};\nCREATE TABLE events_2025 (LIKE events)`,
      up: ATTACH,
      because: 'the DEFAULT partition holds five rows',
    },
  },
};

/** The partitioned table that CREATE TABLE … PARTITION OF adds to. */
function parentOfNew({ statement, schema, facts }: RuleContext): RelationFacts | undefined {
  const { kind, node } = statement;
  if (kind !== 'CreateStmt' || node['partbound'] === undefined) return undefined;
  return find(facts, relationIn(listIn(node['inhRelations'])[0], schema));
}
const NEW = "CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')";

const createDefaultScans: Rule = {
  code: 'create-partition-default-scans',
  severity: 'error',
  title: 'A new partition reads the whole DEFAULT partition',
  why: 'Also an empty new partition makes Postgres search the DEFAULT one for rows that belong to it, and `CREATE TABLE … PARTITION OF` holds an ACCESS EXCLUSIVE lock on the partitioned table meanwhile: everybody waits. Where it finds such a row, the statement fails.',
  safeForm: EXCLUDE,
  check(context) {
    const parent = parentOfNew(context);
    const isDefault = nodeIn(context.statement.node['partbound'])['is_default'] === true;
    return parent === undefined || isDefault ? [] : defaultScan(context, parent);
  },
  examples: {
    fires: { given: DEFAULT(20_000), up: NEW },
    silent: { given: DEFAULT(5), up: NEW, because: 'the DEFAULT partition holds five rows' },
  },
};

const createLocksParent: Rule = {
  code: 'create-partition-locks-parent',
  severity: 'warning',
  title: 'A new partition made in place locks the partitioned table',
  why: '`CREATE TABLE … PARTITION OF` takes the ACCESS EXCLUSIVE lock of the partitioned table: it waits for every transaction that uses any of it, and readers and writers queue behind it. ATTACH PARTITION takes a lock that lets them all go on.',
  safeForm: '`CREATE TABLE new (LIKE parent INCLUDING ALL)`, then `ALTER TABLE parent ATTACH PARTITION new …`.',
  check(context) {
    const parent = parentOfNew(context);
    if (parent === undefined || !isLarge(parent)) return [];
    const name = shown(parent, context.schema);
    const child = shown(relationIn(context.statement.node['relation'], context.schema), context.schema);
    return [
      {
        message: `readers and writers of ${name} (${sizeInWords(parent)}) wait for as long as it can't be locked`,
        safeForm: `CREATE TABLE ${child} (LIKE ${name} INCLUDING ALL); ALTER TABLE ${name} ATTACH PARTITION ${child} …`,
      },
    ];
  },
  examples: {
    fires: {
      given: `${PARENT};\nINSERT INTO events SELECT i, '2026-02-02' FROM generate_series(1, 20000) i;\nANALYZE events_2026`,
      up: NEW,
    },
    silent: { given: PARENT, up: NEW, because: 'no partition holds a row' },
  },
};

const detachBlocks: Rule = {
  code: 'detach-partition-blocks',
  severity: 'warning',
  title: 'DETACH PARTITION takes its rows from the readers',
  why: '`DETACH PARTITION` takes the ACCESS EXCLUSIVE lock of the partitioned table and of the partition, for a moment, under the lock ladder. From its commit on, nobody who reads the partitioned table finds the rows, and a foreign key that points at them fails.',
  safeForm:
    'Make sure that no reader needs the rows any more: they stay in a table of their own, which the partitioned one no longer reads.',
  check(context) {
    const command = partitionCommand(context, 'AT_DetachPartition');
    const { parent, child } = command ?? {};
    if (command === null || parent === undefined || child === undefined || child.fresh || child.heapBytes === 0)
      return [];
    const name = shown(parent, context.schema);
    const pointing = parent.referencedBy.map((one) => shown({ schema: one.schema, name: one.table }, context.schema));
    const keys = pointing.length === 0 ? '' : `; foreign keys of ${listed(pointing)} are checked against it first`;
    const waits = command.concurrently ? '' : `, and its readers and writers wait for as long as it can't be locked`;
    return [
      {
        message: `readers of ${name} no longer find the rows of ${shown(child, context.schema)} (${sizeInWords(child)})${waits}${keys}`,
      },
    ];
  },
  examples: {
    fires: {
      given: `${PARENT};\nINSERT INTO events VALUES (1, '2026-02-02')`,
      up: 'ALTER TABLE events DETACH PARTITION events_2026',
    },
    silent: {
      given: PARENT,
      up: 'ALTER TABLE events DETACH PARTITION events_2026',
      because: 'the partition never held a row',
    },
  },
};

const FOREIGN_KEY_NOT_VALID_SINCE = 180_000;
const KEYED = `CREATE TABLE kinds (id bigint PRIMARY KEY);
CREATE TABLE events (id bigint, kind bigint) PARTITION BY RANGE (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (1000000)`;
const ADD_KEY = 'ALTER TABLE events ADD CONSTRAINT known_kind FOREIGN KEY (kind) REFERENCES kinds NOT VALID';

const foreignKeyNotValid: Rule = {
  code: 'foreign-key-on-partitioned-not-valid',
  severity: 'error',
  title: 'NOT VALID foreign key on a partitioned table',
  why: 'Before version 18, Postgres takes no NOT VALID foreign key on a partitioned table: the statement fails. Without NOT VALID it checks every row of every partition while writers of both tables wait.',
  safeForm:
    'Add the foreign key to each partition as NOT VALID, validate it there, then add it to the partitioned table: Postgres takes over what the partitions have, and checks nothing again.',
  check(context) {
    const table = subject(context);
    if (table?.kind !== 'partitioned' || context.facts.serverVersion >= FOREIGN_KEY_NOT_VALID_SINCE) return [];
    return alterCommands(context.statement).flatMap((command): Hit[] => {
      const clause = command.kind === 'Constraint' ? constraintClause(command.def, context.schema) : null;
      if (clause?.kind !== 'foreign' || !clause.notValid) return [];
      const version = Math.floor(context.facts.serverVersion / 10_000);
      const leaves = table.partitions.filter(({ leaf }) => leaf).map((leaf) => shown(leaf, context.schema));
      return [
        {
          message: `Postgres ${version} refuses it for ${shown(table, context.schema)}; add it to ${listed(leaves) || 'its partitions'} first`,
        },
      ];
    });
  },
  examples: {
    fires: {
      given: KEYED,
      meanwhile: { words: 'the server is Postgres 17', facts: (facts) => ({ ...facts, serverVersion: 170_000 }) },
      up: ADD_KEY,
    },
    silent: {
      given: KEYED,
      meanwhile: { words: 'the server is Postgres 18', facts: (facts) => ({ ...facts, serverVersion: 180_000 }) },
      up: ADD_KEY,
      because: 'Postgres 18 takes it',
    },
  },
};

/** The unique keys that a statement asks for on a partitioned table, by their columns. */
function uniqueKeys({ statement, schema }: RuleContext): (readonly (string | null)[])[] {
  const index = writtenIndex(statement, schema);
  if (index !== null) return index.unique ? [index.columns] : [];
  const fromCommands = alterCommands(statement).flatMap((command) => {
    const clause = command.kind === 'Constraint' ? constraintClause(command.def, schema) : null;
    return clause === null ? [] : [clause];
  });
  const elements = statement.kind === 'CreateStmt' ? tableElements(statement, schema) : null;
  const clauses = [
    ...fromCommands,
    ...(elements?.constraints ?? []),
    ...(elements?.columns.flatMap((column) => column.constraints) ?? []),
  ];
  return clauses
    .filter(({ kind, columns }) => (kind === 'primary' || kind === 'unique') && columns.length > 0)
    .map((one) => one.columns);
}

/** The partition key that the table of the statement has, or gets by it. */
function keyOf(context: RuleContext): { table: Name; columns: string[] } | null {
  const { kind, node } = context.statement;
  const table = relationIn(node['relation'], context.schema);
  if (kind !== 'CreateStmt') {
    const facts = subject(context);
    return facts?.kind === 'partitioned' ? { table, columns: partitionColumns(facts) } : null;
  }
  const elements = listIn(nodeIn(node['partspec'])['partParams']).map((item) => fieldsOf(item, 'PartitionElem'));
  const columns = elements.flatMap((element) => (typeof element?.['name'] === 'string' ? [element['name']] : []));
  return node['partspec'] === undefined ? null : { table, columns };
}

const uniqueLacksKey: Rule = {
  code: 'unique-lacks-partition-key',
  severity: 'error',
  title: 'Unique key of a partitioned table without its partition key',
  why: 'A unique index exists per partition only, so Postgres takes a unique or primary key of a partitioned table only where it contains every column of the partition key. The statement fails.',
  safeForm: 'Add the columns of the partition key to the unique key, or make it unique in each partition by itself.',
  check(context) {
    const key = keyOf(context);
    if (key === null) return [];
    return uniqueKeys(context).flatMap((columns): Hit[] => {
      const missing = key.columns.filter((column) => !columns.includes(column));
      if (missing.length === 0) return [];
      const has = listed(columns.map((column) => (column === null ? 'an expression' : word(column))));
      return [
        {
          message: `${shown(key.table, context.schema)} is partitioned by ${listed(key.columns.map(word))}: a unique key of ${has} lacks ${listed(missing.map(word))}`,
        },
      ];
    });
  },
  examples: {
    fires: { given: PARENT, up: 'ALTER TABLE events ADD CONSTRAINT events_pk PRIMARY KEY (id)' },
    silent: {
      given: PARENT,
      up: 'ALTER TABLE events ADD CONSTRAINT events_pk PRIMARY KEY (id, at)',
      because: 'the key contains the column by which the table is partitioned',
    },
  },
};

export const PARTITION_RULES: readonly Rule[] = [
  attachScans,
  attachDefaultScans,
  createDefaultScans,
  createLocksParent,
  detachBlocks,
  foreignKeyNotValid,
  uniqueLacksKey,
];
