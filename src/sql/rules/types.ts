import type { RelationFacts, TypeFacts } from '../facts.ts';
import {
  alterCommands,
  cascades,
  droppedObjects,
  type Name,
  nameIn,
  objectType,
  relationIn,
  textIn,
  textsIn,
} from '../tree.ts';
import { counted, find, holdsRows, isLarge, listed, shown, sizeInWords, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

const typeOf = ({ facts }: RuleContext, { schema, name }: Name): TypeFacts | undefined =>
  facts.types.find((type) => type.schema === schema && type.name === name);

/** The type of a statement's `typeName` field, where the catalog has it. */
const typeNamed = (context: RuleContext): TypeFacts | undefined =>
  typeOf(context, nameIn(textsIn(context.statement.node['typeName']), context.schema));

/** `orders.status and archive.orders.status`. */
const usesInWords = ({ usedBy }: TypeFacts, schema: string): string =>
  listed(usedBy.map((use) => `${shown({ schema: use.schema, name: use.table }, schema)}.${word(use.column)}`));

/** The tables with a column of the type that may hold rows, each once. */
function tablesOf(context: RuleContext, type: TypeFacts): RelationFacts[] {
  const found = type.usedBy.map((use) => find(context.facts, { schema: use.schema, name: use.table }));
  return [...new Set(found)].filter((table) => table !== undefined && holdsRows(table)) as RelationFacts[];
}

/** ALTER TYPE … ADD VALUE of a label that isn't there yet. */
function addedValue(context: RuleContext): { type: TypeFacts | undefined; name: string; label: string } | null {
  const { kind, node } = context.statement;
  if (kind !== 'AlterEnumStmt' || node['oldVal'] !== undefined) return null;
  const label = textIn(node['newVal']);
  const type = typeNamed(context);
  if (type?.labels.includes(label) === true && node['skipIfNewValExists'] === true) return null;
  return { type, name: shown(nameIn(textsIn(node['typeName']), context.schema), context.schema), label };
}

const MOOD = "CREATE TYPE mood AS ENUM ('good', 'bad')";
const PEOPLE = `${MOOD};\nCREATE TABLE people (id bigint, mood mood);\nINSERT INTO people VALUES (1, 'good')`;
const ADD_VALUE = "ALTER TYPE mood ADD VALUE 'fair'";

const enumNeedsDown: Rule = {
  code: 'enum-value-needs-down',
  severity: 'error',
  title: 'A new enum value that nothing takes back',
  why: 'Postgres has no way to drop a value of an enum: rows may hold it, and indexes are ordered by it. So the engine has nothing to undo the step with.',
  safeForm:
    'Write `down`. Where the value may stay, a comment on the type is enough (`COMMENT ON TYPE …`); where it must go, make a new type without it and change the columns to that.',
  check(context) {
    const added = context.hasDown ? null : addedValue(context);
    return added === null
      ? []
      : [{ message: `rollback can't take '${added.label}' out of ${added.name}, and the step has no \`down\`` }];
  },
  examples: {
    fires: { given: MOOD, up: ADD_VALUE },
    silent: {
      given: "CREATE TYPE mood AS ENUM ('good', 'fair', 'bad')",
      up: "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'fair'",
      because: 'the type has the value already, so that there is nothing to undo',
    },
  },
};

const enumUnknownToReaders: Rule = {
  code: 'enum-value-unknown-to-readers',
  severity: 'warning',
  title: 'A new enum value that running readers may not know',
  why: 'The value reaches readers as soon as one writer uses it. Clients that map the labels to an enum of their own fail on one that they don’t know. Postgres itself takes the new value from the next transaction on; the engine gives every statement a transaction of its own.',
  safeForm:
    'Release readers that know the value first, then writers that use it. Making it the default of a column is a writer too.',
  check(context) {
    const added = addedValue(context);
    const tables = added?.type === undefined ? [] : tablesOf(context, added.type);
    if (added?.type === undefined || tables.length === 0) return [];
    return [
      {
        message: `readers of ${usesInWords(added.type, context.schema)} may meet '${added.label}', which they don't know`,
      },
    ];
  },
  examples: {
    fires: { given: PEOPLE, up: ADD_VALUE },
    silent: { given: MOOD, up: ADD_VALUE, because: 'no column is of that type' },
  },
};

const enumInTransaction: Rule = {
  code: 'enum-value-in-transaction',
  severity: 'note',
  title: 'Enum value added in a transaction',
  why: 'A new value of an enum can’t be used in the transaction that adds it (`unsafe use of new value`): an index, a default or a check that names it fails there. Tools that run a whole file in one transaction fall over it.',
  safeForm:
    'The engine gives every statement a transaction of its own, so that a later statement of the same step may use the value. Nothing is to be done, unless a DO block adds and uses it.',
  check(context) {
    const added = addedValue(context);
    return added?.type === undefined
      ? []
      : [
          {
            message: `'${added.label}' of ${added.name} can be used from the next statement on, not in this one's transaction`,
          },
        ];
  },
  examples: {
    fires: { given: MOOD, up: ADD_VALUE },
    silent: {
      given: "CREATE TYPE mood AS ENUM ('good', 'fair', 'bad')",
      up: "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'fair'",
      because: 'the type has the value already',
    },
  },
};

const RENAME_VALUE = "ALTER TYPE mood RENAME VALUE 'bad' TO 'poor'";
const enumRenamed: Rule = {
  code: 'enum-rename-value-under-readers',
  severity: 'error',
  title: 'Enum value renamed under running clients',
  why: 'From the commit on, every client that writes or compares with the old label gets `invalid input value for enum` (22P02), and every reader meets a label it doesn’t know. All of them would have to change in the same moment.',
  safeForm:
    'Add the new label, let clients read both, backfill the rows from the old label to the new one, then stop using the old one. It can stay in the type.',
  check(context) {
    const { kind, node } = context.statement;
    if (kind !== 'AlterEnumStmt' || node['oldVal'] === undefined) return [];
    const type = typeNamed(context);
    const tables = type === undefined ? [] : tablesOf(context, type);
    if (type === undefined || tables.length === 0) return [];
    return [
      {
        message: `clients of ${usesInWords(type, context.schema)} that say '${textIn(node['oldVal'])}' fail at once`,
      },
    ];
  },
  examples: {
    fires: { given: PEOPLE, up: RENAME_VALUE },
    silent: { given: MOOD, up: RENAME_VALUE, because: 'no column is of that type' },
  },
};

const dropInUse: Rule = {
  code: 'drop-type-in-use',
  severity: 'error',
  title: 'Type dropped that columns are of',
  why: 'Without CASCADE the statement fails. With CASCADE every column of that type goes with it, data and all, in every table.',
  safeForm: 'Change the columns to another type first, or take them out of use with `retire`.',
  check(context) {
    const object = objectType(context.statement);
    if (context.statement.kind !== 'DropStmt' || (object !== 'OBJECT_TYPE' && object !== 'OBJECT_DOMAIN')) return [];
    return droppedObjects(context.statement).flatMap((texts): Hit[] => {
      const type = typeOf(context, nameIn(texts, context.schema));
      if (type === undefined || type.usedBy.length === 0) return [];
      const uses = usesInWords(type, context.schema);
      const name = shown(type, context.schema);
      return [
        {
          message: cascades(context.statement)
            ? `CASCADE drops ${counted(type.usedBy.length, 'column')} with ${name}: ${uses}`
            : `it fails: ${uses} ${type.usedBy.length === 1 ? 'is' : 'are'} of type ${name}`,
        },
      ];
    });
  },
  examples: {
    fires: { given: PEOPLE, up: 'DROP TYPE mood CASCADE' },
    silent: { given: MOOD, up: 'DROP TYPE mood', because: 'no column is of that type' },
  },
};

/** AlterDomainStmt's letters. Source: src/include/nodes/parsenodes.h. */
const CHECKS_ROWS: Readonly<Record<string, string>> = {
  C: 'the new CHECK',
  O: 'NOT NULL',
  V: 'the constraint',
};
const EMAILS = (rows: number): string => `CREATE DOMAIN email AS text;
CREATE TABLE people (id bigint, mail email);
INSERT INTO people SELECT i, 'a@b' FROM generate_series(1, ${rows}) i;
ANALYZE people`;
const ADD_CHECK = "ALTER DOMAIN email ADD CONSTRAINT has_at CHECK (VALUE LIKE '%@%')";
const domainScans: Rule = {
  code: 'domain-constraint-scans',
  severity: 'error',
  title: 'Constraint of a domain reads every table that uses it',
  why: 'A CHECK or NOT NULL of a domain is checked against every column of that domain, all tables in one transaction, each under a SHARE lock that holds up its writers until the last one is read. `VALIDATE CONSTRAINT` of a domain takes the same lock.',
  safeForm:
    'Add the CHECK as `NOT VALID`: it then counts for every new value, and reads nothing. Where old rows must be proven too, put a CHECK on the tables themselves, which can be validated without holding up writers.',
  check(context) {
    const { kind, node } = context.statement;
    const what = kind === 'AlterDomainStmt' ? CHECKS_ROWS[textIn(node['subtype'])] : undefined;
    const unread = JSON.stringify(node['def'] ?? null).includes('"skip_validation":true');
    const type = typeNamed(context);
    if (what === undefined || unread || type === undefined) return [];
    const large = tablesOf(context, type).filter(isLarge);
    if (large.length === 0) return [];
    const tables = listed(large.map((table) => `${shown(table, context.schema)} (${sizeInWords(table)})`));
    return [{ message: `writers of ${tables} wait while ${what} is checked against every row` }];
  },
  examples: {
    fires: { given: EMAILS(20_000), up: ADD_CHECK },
    silent: { given: EMAILS(5), up: ADD_CHECK, because: 'the only table with such a column has five rows' },
  },
};

const ATTRIBUTES: Readonly<Record<string, (name: string, uses: string) => Hit>> = {
  AT_AddColumn: (_name, uses) => ({
    severity: 'warning',
    message: `clients that write ${uses} with \`ROW(…)\` or as text give one value too few`,
  }),
  AT_DropColumn: (name, uses) => ({ message: `what ${uses} hold in ${name} is lost, and nothing brings it back` }),
  AT_AlterColumnType: (name, uses) => ({ message: `it fails: ${name} can't have another type while ${uses} use it` }),
};
const PLACES = 'CREATE TYPE place AS (town text, zip text)';
const HOMES = `${PLACES};\nCREATE TABLE homes (id bigint, at place);\nINSERT INTO homes VALUES (1, ROW('Oslo', '0150'))`;
const compositeInUse: Rule = {
  code: 'composite-type-in-use',
  severity: 'error',
  title: 'Composite type changed that columns are of',
  why: 'Rows hold values of a composite type as they were written. A dropped attribute takes its values with it, in every table at once, and rollback has nothing to restore them from; a change of an attribute’s type is refused by Postgres; an added one breaks clients that write the value whole.',
  safeForm:
    'Make a new type and a new column of it, keep both in step with `dual-write`, and retire the old column: the same way as for any other change of a column.',
  check(context) {
    const { statement, schema } = context;
    if (statement.kind !== 'AlterTableStmt' || objectType(statement) !== 'OBJECT_TYPE') return [];
    const type = typeOf(context, relationIn(statement.node['relation'], schema));
    if (type === undefined || type.usedBy.length === 0) return [];
    const uses = usesInWords(type, schema);
    return alterCommands(statement).flatMap((command) => {
      const hit = ATTRIBUTES[command.subtype];
      const name = word(command.name === '' ? textIn(command.def['colname']) : command.name);
      return hit === undefined ? [] : [hit(name, uses)];
    });
  },
  examples: {
    fires: { given: HOMES, up: 'ALTER TYPE place DROP ATTRIBUTE zip' },
    silent: { given: PLACES, up: 'ALTER TYPE place DROP ATTRIBUTE zip', because: 'no column is of that type' },
  },
};

const renamedUnderClients: Rule = {
  code: 'type-renamed-under-clients',
  severity: 'warning',
  title: 'Type renamed or moved under running clients',
  why: 'Columns keep their type, whatever its name. But clients that name it, in a cast (`$1::mood`), in a function’s arguments or when they ask for its OID at connect, fail from the commit on.',
  safeForm: 'Leave the name; or make sure that no client names the type, which the catalog can’t show.',
  check(context) {
    const { kind, node } = context.statement;
    const object = objectType(context.statement);
    const renames = kind === 'RenameStmt' || kind === 'AlterObjectSchemaStmt';
    if (!renames || (object !== 'OBJECT_TYPE' && object !== 'OBJECT_DOMAIN')) return [];
    const type = typeOf(context, nameIn(textsIn(node['object']), context.schema));
    if (type === undefined || tablesOf(context, type).length === 0) return [];
    const uses = usesInWords(type, context.schema);
    return [{ message: `clients of ${uses} that name the type ${shown(type, context.schema)} fail at once` }];
  },
  examples: {
    fires: { given: PEOPLE, up: 'ALTER TYPE mood RENAME TO feeling' },
    silent: { given: MOOD, up: 'ALTER TYPE mood RENAME TO feeling', because: 'no column is of that type' },
  },
};

export const TYPE_RULES: readonly Rule[] = [
  enumNeedsDown,
  enumUnknownToReaders,
  enumInTransaction,
  enumRenamed,
  dropInUse,
  domainScans,
  compositeInUse,
  renamedUnderClients,
];
