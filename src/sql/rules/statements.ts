import { fieldsOf, listIn, nameIn, nodeIn, objectType, relationIn, textIn, textsIn } from '../tree.ts';
import { counted, find, holdsRows, shown, sizeInWords, word } from './relation-words.ts';
import type { Rule } from './rule.ts';

const SHIPMENTS = 'CREATE TABLE shipments (id bigint, state text)';
const ARCHIVE = `${SHIPMENTS};\nCREATE SCHEMA archive`;

const doBlock: Rule = {
  code: 'do-block',
  severity: 'error',
  title: 'DO block in a ddl step',
  why: 'What a `DO` block does shows only when it runs: no analysis sees its statements, which locks they take, which rows they change. The catalog can’t tell afterwards either what of it is to be undone.',
  safeForm:
    'Write the statements themselves. Where the block has to be, allow `do-block` with a reason and write `down`: then it runs in one transaction with its record in the ledger.',
  check: ({ statement }) =>
    statement.kind === 'DoStmt' ? [{ message: "what the block does can't be seen before it runs" }] : [],
  examples: {
    fires: {
      given: SHIPMENTS,
      up: 'DO $$ BEGIN ALTER TABLE shipments ADD COLUMN sent date; END $$',
      down: 'ALTER TABLE shipments DROP COLUMN sent',
    },
    silent: {
      given: SHIPMENTS,
      up: 'ALTER TABLE shipments ADD COLUMN sent date',
      because: 'the same change, written as what it is, can be looked at',
    },
  },
};

const copyProgram: Rule = {
  code: 'copy-program',
  severity: 'error',
  title: 'COPY FROM PROGRAM in a ddl step',
  why: '`COPY … FROM PROGRAM` runs a program on the database server, as the user that runs Postgres, and takes its output as rows. Nothing limits what it does there; it can run twice where an answer is lost; and no rollback takes back what it did.',
  safeForm:
    'Load rows with a `call` step. Where the program has to run, allow `copy-program` with a reason and write `down`.',
  check({ statement, schema }) {
    const { kind, node } = statement;
    if (kind !== 'CopyStmt' || node['is_program'] !== true) return [];
    const table = shown(relationIn(node['relation'], schema), schema);
    return [{ message: `a program on the database server writes rows into ${table}` }];
  },
  examples: {
    fires: {
      given: SHIPMENTS,
      up: "COPY shipments FROM PROGRAM 'echo 1,sent' (FORMAT csv)",
      down: "COMMENT ON TABLE shipments IS 'loaded rows stay'",
    },
    silent: {
      given: SHIPMENTS,
      up: "COMMENT ON TABLE shipments IS 'COPY FROM PROGRAM'",
      because: 'the statement runs no program, whatever its text says',
    },
  },
};

const procedureCall: Rule = {
  code: 'procedure-call',
  severity: 'error',
  title: 'CALL in a ddl step',
  why: 'What a procedure does shows only when it runs, and its body can change between the check and the run. One that commits by itself can’t run in the engine’s transaction at all: Postgres refuses it.',
  safeForm:
    'Write the statements themselves; changes of rows are a `backfill` or a `call` step. Where the procedure has to run, allow `procedure-call` with a reason and write `down`.',
  check({ statement, schema }) {
    if (statement.kind !== 'CallStmt') return [];
    const name = shown(nameIn(textsIn(nodeIn(statement.node['funccall'])['funcname']), schema), schema);
    return [{ message: `what ${name} does can't be seen before it runs` }];
  },
  examples: {
    fires: {
      given: `${SHIPMENTS};\nCREATE PROCEDURE widen() LANGUAGE sql AS 'ALTER TABLE shipments ADD COLUMN sent date'`,
      up: 'CALL widen()',
      down: 'ALTER TABLE shipments DROP COLUMN sent',
    },
    silent: {
      given: SHIPMENTS,
      up: "CREATE PROCEDURE widen() LANGUAGE sql AS 'ALTER TABLE shipments ADD COLUMN sent date'",
      because: 'the procedure is made, not called',
    },
  },
};

const extensionChange: Rule = {
  code: 'extension-change',
  severity: 'error',
  title: 'Extension updated',
  why: 'An update runs the extension’s own scripts: they may rewrite types, drop functions or lock what uses them, and none of it shows before it runs. Few extensions have scripts for the way back, so that rollback can’t undo it.',
  safeForm:
    'Read the extension’s release notes, update a copy first, and write `down`: where there is a script for it, `ALTER EXTENSION … UPDATE TO` the old version.',
  check({ statement, facts, hasDown }) {
    const { kind, node } = statement;
    if (kind !== 'AlterExtensionStmt') return [];
    const name = textIn(node['extname']);
    const installed = facts.extensions?.find((one) => one.name === name);
    const option = listIn(node['options'])
      .map((item) => fieldsOf(item, 'DefElem'))
      .find((one) => one?.['defname'] === 'new_version');
    const wanted = textIn(fieldsOf(option?.['arg'], 'String')?.['sval']);
    if (installed === undefined || installed.version === wanted) return [];
    const to = wanted === '' ? 'the newest version that the server has' : wanted;
    return [
      {
        ...(hasDown && { severity: 'warning' as const }),
        message: `what turns ${word(name)} ${installed.version} into ${to} can't be seen before it runs`,
      },
    ];
  },
  examples: {
    fires: { given: "CREATE EXTENSION hstore VERSION '1.7'", up: "ALTER EXTENSION hstore UPDATE TO '1.8'" },
    silent: {
      given: "CREATE EXTENSION hstore VERSION '1.8'",
      up: "ALTER EXTENSION hstore UPDATE TO '1.8'",
      because: 'that version is installed already',
    },
  },
};

const schemaRenamed: Rule = {
  code: 'schema-rename-under-readers',
  severity: 'error',
  title: 'Schema renamed under running clients',
  why: 'From the commit on, every client that names the schema, in its statements or in its search_path, finds nothing there any more (42P01), for all tables of the schema at once. A search_path that names a missing schema isn’t even an error.',
  safeForm:
    'Make the new schema, with views of the old names where readers need them, move the clients over, and drop the old one at the end.',
  check({ statement, facts }) {
    const { kind, node } = statement;
    if (kind !== 'RenameStmt' || objectType(statement) !== 'OBJECT_SCHEMA') return [];
    const schema = facts.schemas.find(({ name }) => name === textIn(node['subname']));
    const relations = schema?.relations ?? 0;
    if (schema === undefined || relations === 0) return [];
    return [
      {
        message: `clients that name ${word(schema.name)} no longer find its ${counted(relations, 'table or view', 'tables and views')}`,
      },
    ];
  },
  examples: {
    fires: {
      given: 'CREATE SCHEMA IF NOT EXISTS shop;\nCREATE TABLE IF NOT EXISTS shop.shipments (id bigint)',
      up: 'ALTER SCHEMA shop RENAME TO archive',
    },
    silent: {
      given: 'CREATE SCHEMA IF NOT EXISTS empty_shop',
      up: 'ALTER SCHEMA empty_shop RENAME TO archive',
      because: 'no table or view is in it',
    },
  },
};

const movedAway: Rule = {
  code: 'set-schema-under-readers',
  severity: 'error',
  title: 'Table or view moved to another schema under running clients',
  why: 'From the commit on, clients find the table only where their search_path has the new schema, or where they name it. All others fail (42P01) at their next statement.',
  safeForm:
    'After the move, a view of the old name in the old schema, in the same plan; or leave the table where it is.',
  check({ statement, schema, facts }) {
    const { kind, node } = statement;
    if (kind !== 'AlterObjectSchemaStmt') return [];
    const relation = find(facts, relationIn(node['relation'], schema));
    const next = textIn(node['newschema']);
    if (relation === undefined || relation.fresh || relation.schema === next) return [];
    if (relation.kind !== 'view' && !holdsRows(relation)) return [];
    const size = relation.kind === 'view' ? '' : ` (${sizeInWords(relation)})`;
    return [
      {
        message: `clients no longer find ${shown(relation, schema)}${size} in schema ${word(relation.schema)}: it is in ${word(next)}`,
      },
    ];
  },
  examples: {
    fires: { given: `${ARCHIVE};\nINSERT INTO shipments VALUES (1)`, up: 'ALTER TABLE shipments SET SCHEMA archive' },
    silent: { given: ARCHIVE, up: 'ALTER TABLE shipments SET SCHEMA archive', because: 'the table never held a row' },
  },
};

export const STATEMENT_RULES: readonly Rule[] = [
  doBlock,
  copyProgram,
  procedureCall,
  extensionChange,
  schemaRenamed,
  movedAway,
];
