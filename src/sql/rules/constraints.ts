import { hasInvalidNotNull, provesNotNull } from '../impact/not-null-proof.ts';
import { large, EMPTY_USERS, USERS } from './example-tables.ts';
import { addedColumns, addedConstraints, altered, members } from './altered-table.ts';
import type { RelationFacts } from '../facts.ts';
import { holdsRows, isLarge, listed, shown, sizeInWords, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

const everybody = (context: RuleContext, table: RelationFacts): string =>
  `readers and writers of ${shown(table, context.schema)} (${sizeInWords(table)})`;

const checkNotValidatedApart: Rule = {
  code: 'check-not-validated-apart',
  severity: 'error',
  title: 'CHECK that looks at all rows at once',
  why: 'Without NOT VALID the constraint is checked for every row while the table is locked exclusively: nobody reads or writes it meanwhile. NOT VALID takes a moment, and counts for all rows written from then on.',
  safeForm:
    "The engine adds it `NOT VALID`, and then runs `VALIDATE CONSTRAINT` in a transaction of its own, under a lock that readers and writers don't notice.",
  check(context) {
    const inline = addedColumns(context).flatMap(({ table, column }) =>
      column.constraints.map((clause) => ({ table, clause })),
    );
    return [...addedConstraints(context), ...inline]
      .filter(({ table, clause }) => clause.kind === 'check' && !clause.notValid && isLarge(table))
      .map(({ table }) => ({ message: `${everybody(context, table)} wait until every row is checked` }));
  },
  examples: {
    fires: { given: USERS, up: 'ALTER TABLE users ADD CONSTRAINT grown_up CHECK (age >= 0)' },
    silent: {
      given: EMPTY_USERS,
      up: 'ALTER TABLE users ADD CONSTRAINT grown_up CHECK (age >= 0)',
      because: 'the table never held a row',
    },
  },
};

const setNotNullScan: Rule = {
  code: 'set-not-null-scan',
  severity: 'error',
  title: 'NOT NULL that looks at all rows at once',
  why: '`SET NOT NULL` reads the whole table under ACCESS EXCLUSIVE to see that there is no NULL, and fails at the first. It skips that where a valid CHECK says that the column is not NULL.',
  safeForm:
    'The engine adds `CHECK (… IS NOT NULL) NOT VALID` (from Postgres 18 on `NOT NULL … NOT VALID`), validates it while everybody goes on, sets NOT NULL, which then takes a moment, and drops the check.',
  check(context) {
    const found = altered(context);
    if (found === null) return [];
    const columns = found.commands.flatMap(({ subtype, name, def }) =>
      subtype === 'AT_SetNotNull' &&
      !(found.table.columns.find((one) => one.name === name)?.notNull === true && !hasInvalidNotNull(found.table, name))
        ? [name]
        : subtype === 'AT_AddConstraint' && def['contype'] === 'CONSTR_NOTNULL' && def['skip_validation'] !== true
          ? addedConstraints(context)
              .filter(({ clause }) => clause.kind === 'not null' && !clause.notValid)
              .flatMap(({ clause }) => clause.columns)
          : [],
    );
    return [...new Set(columns)].flatMap((column) => {
      const unproved = members(context, found.table).some(
        (one) => one.kind !== 'partitioned' && isLarge(one) && !provesNotNull(one, column),
      );
      if (!unproved) return [];
      const share = found.table.columns.find(({ name }) => name === column)?.nullShare ?? 0;
      const fails =
        share > 0 ? `; by the statistics ${Math.max(1, Math.round(share * 100))} % of them are NULL, so it fails` : '';
      return [
        { message: `${everybody(context, found.table)} wait until ${word(column)} is checked in every row${fails}` },
      ];
    });
  },
  examples: {
    fires: { given: USERS, up: 'ALTER TABLE users ALTER COLUMN email SET NOT NULL' },
    silent: {
      given: `${USERS};\nALTER TABLE users ADD CONSTRAINT email_given CHECK (email IS NOT NULL)`,
      up: 'ALTER TABLE users ALTER COLUMN email SET NOT NULL',
      because: 'the valid check `email_given` proves it: Postgres reads no row',
    },
  },
};

/** A rule about a constraint whose index is built under ACCESS EXCLUSIVE. */
const buildsIndex = (
  rule: Omit<Rule, 'check' | 'severity'>,
  kind: 'unique' | 'primary' | 'exclusion',
  more: (table: RelationFacts, columns: readonly string[]) => string = () => '',
): Rule => ({
  ...rule,
  severity: 'error',
  check: (context) =>
    addedConstraints(context)
      .filter(({ table, clause }) => clause.kind === kind && clause.usingIndex === null && isLarge(table))
      .map(({ table, clause }) => ({
        message: `${everybody(context, table)} wait until its index is built${more(table, clause.columns)}`,
      })),
});

const uniqueConstraintBuildsIndex = buildsIndex(
  {
    code: 'unique-constraint-builds-index',
    title: 'Unique constraint that builds its index',
    why: '`ADD UNIQUE` builds the index under ACCESS EXCLUSIVE: nobody reads or writes the table until it is complete. It fails if there are duplicates, after all that time.',
    safeForm:
      'The engine builds a unique index CONCURRENTLY, and makes the constraint of it: `ADD CONSTRAINT … UNIQUE USING INDEX …`, which takes a moment.',
    examples: {
      fires: { given: USERS, up: 'ALTER TABLE users ADD CONSTRAINT users_email UNIQUE (email)' },
      silent: {
        given: `${USERS};\nCREATE UNIQUE INDEX users_email ON users (email)`,
        up: 'ALTER TABLE users ADD CONSTRAINT users_email UNIQUE USING INDEX users_email',
        because: 'the index is there already: only the catalog changes',
      },
    },
  },
  'unique',
);

const primaryKeyBuildsIndex = buildsIndex(
  {
    code: 'primary-key-builds-index',
    title: 'Primary key that builds its index',
    why: "`ADD PRIMARY KEY` builds a unique index under ACCESS EXCLUSIVE, and reads the table once more for columns that aren't NOT NULL yet. Nobody reads or writes the table until both are done.",
    safeForm:
      'The engine makes the columns NOT NULL without holding up anyone, builds a unique index CONCURRENTLY, and makes the key of it: `ADD CONSTRAINT … PRIMARY KEY USING INDEX …`.',
    examples: {
      fires: { given: large('visits', 'id bigint, page bigint'), up: 'ALTER TABLE visits ADD PRIMARY KEY (id)' },
      silent: {
        given: 'CREATE TABLE visits (id bigint, page bigint)',
        up: 'ALTER TABLE visits ADD PRIMARY KEY (id)',
        because: 'there are no rows to index',
      },
    },
  },
  'primary',
  (table, columns) => {
    const nullable = columns.filter((column) => !provesNotNull(table, column));
    return nullable.length === 0 ? '' : `, and ${listed(nullable.map(word))} checked for NULL`;
  },
);

const exclusionConstraintBuildsIndex = buildsIndex(
  {
    code: 'exclusion-constraint-builds-index',
    title: 'Exclusion constraint on a table with rows',
    why: '`ADD EXCLUDE` builds its index and compares the rows under ACCESS EXCLUSIVE. Postgres can neither build it CONCURRENTLY nor add it NOT VALID.',
    safeForm:
      'Make a new table with the constraint and move the rows there; or, where a range of rows is short enough, say so with `allow` and a time window.',
    examples: {
      fires: {
        given: large('bookings', 'room bigint, during int8range', 'i, int8range(i, i + 1)'),
        up: 'ALTER TABLE bookings ADD CONSTRAINT no_overlap EXCLUDE USING gist (during WITH &&)',
      },
      silent: {
        given: 'CREATE TABLE bookings (room bigint, during int8range)',
        up: 'ALTER TABLE bookings ADD CONSTRAINT no_overlap EXCLUDE USING gist (during WITH &&)',
        because: 'there are no rows to compare',
      },
    },
  },
  'exclusion',
);

const validateWithOtherCommands: Rule = {
  code: 'validate-with-other-commands',
  severity: 'error',
  title: 'VALIDATE together with a command that locks harder',
  why: '`VALIDATE CONSTRAINT` alone lets everybody read and write. One ALTER TABLE takes one lock, the strongest that any of its commands needs, and holds it until the last is done: the rows are then read while nobody gets in.',
  safeForm: 'Write VALIDATE CONSTRAINT as a statement of its own: the engine runs each in its own transaction.',
  check(context) {
    const found = altered(context);
    if (found === null || !isLarge(found.table)) return [];
    const validated = found.commands
      .filter(({ subtype }) => subtype === 'AT_ValidateConstraint')
      .map(({ name }) => name);
    const open = validated.filter(
      (name) => found.table.constraints.find((one) => one.name === name)?.validated !== true,
    );
    const own = context.impact.locks.find(
      ({ schema, relation }) => schema === found.table.schema && relation === found.table.name,
    );
    if (open.length === 0 || own === undefined || own.mode === 'SHARE UPDATE EXCLUSIVE') return [];
    const who = own.mode === 'ACCESS EXCLUSIVE' ? 'readers and writers' : 'writers';
    return [
      {
        message: `${who} of ${shown(found.table, context.schema)} (${sizeInWords(found.table)}) wait until ${listed(open.map(word))} is validated`,
        safeForm: `ALTER TABLE ${shown(found.table, context.schema)} VALIDATE CONSTRAINT ${word(open[0] ?? '')}`,
      },
    ];
  },
  examples: {
    fires: {
      given: `${USERS};\nALTER TABLE users ADD CONSTRAINT grown_up CHECK (age >= 0) NOT VALID`,
      up: "ALTER TABLE users VALIDATE CONSTRAINT grown_up, ALTER COLUMN email SET DEFAULT ''",
    },
    silent: {
      given: `${USERS};\nALTER TABLE users ADD CONSTRAINT grown_up CHECK (age >= 0)`,
      up: "ALTER TABLE users VALIDATE CONSTRAINT grown_up, ALTER COLUMN email SET DEFAULT ''",
      because: 'the constraint is valid already: no row is read',
    },
  },
};

const dropUniqueConstraint: Rule = {
  code: 'drop-unique-constraint',
  severity: 'warning',
  title: 'Key that is dropped while clients rely on it',
  why: 'Without the key, `INSERT … ON CONFLICT` on its columns fails at once (42P10), and rows come in twice: then the way back, which makes the constraint again, fails at the duplicates. The index goes too, and with it every quick look-up.',
  safeForm: 'Drop it in the last phase, when no running version upserts on those columns.',
  check(context) {
    const found = altered(context);
    if (found === null || !holdsRows(found.table)) return [];
    return found.commands.flatMap(({ subtype, name }): Hit[] => {
      const dropped = found.table.constraints.find((one) => one.name === name);
      if (subtype !== 'AT_DropConstraint' || (dropped?.kind !== 'unique' && dropped?.kind !== 'primary')) return [];
      const key = [...dropped.columns].sort().join('\n');
      const twin = found.table.indexes.some(
        (index) =>
          index.unique &&
          index.valid &&
          !index.partial &&
          index.constraint !== name &&
          [...index.columns].sort().join('\n') === key,
      );
      if (twin) return [];
      return [
        {
          message: `ON CONFLICT (${dropped.columns.map(word).join(', ')}) on ${shown(found.table, context.schema)} fails from then on, and nothing keeps rows from coming twice`,
        },
      ];
    });
  },
  examples: {
    fires: {
      given: `${USERS};\nALTER TABLE users ADD CONSTRAINT users_email UNIQUE (email)`,
      up: 'ALTER TABLE users DROP CONSTRAINT users_email',
    },
    silent: {
      given: `${USERS};\nALTER TABLE users ADD CONSTRAINT users_email UNIQUE (email);\nCREATE UNIQUE INDEX users_email_too ON users (email)`,
      up: 'ALTER TABLE users DROP CONSTRAINT users_email',
      because: 'another unique index of the same columns does the same',
    },
  },
};

export const CONSTRAINT_RULES: readonly Rule[] = [
  checkNotValidatedApart,
  setNotNullScan,
  uniqueConstraintBuildsIndex,
  primaryKeyBuildsIndex,
  exclusionConstraintBuildsIndex,
  validateWithOtherCommands,
  dropUniqueConstraint,
];
