import type { RelationFacts, SchemaFacts } from '../facts.ts';
import type { Statement } from '../parser.ts';
import {
  droppedObjects,
  fieldsOf,
  type Name,
  nameIn,
  nodeIn,
  objectType,
  relationIn,
  textIn,
  textsIn,
} from '../tree.ts';
import { find, listed, shown, word } from './relation-words.ts';
import type { Hit, Rule, RuleContext } from './rule.ts';

const RELATION_OBJECTS = new Set([
  ...['OBJECT_TABLE', 'OBJECT_VIEW', 'OBJECT_MATVIEW', 'OBJECT_FOREIGN_TABLE', 'OBJECT_INDEX', 'OBJECT_SEQUENCE'],
  ...['OBJECT_COLUMN', 'OBJECT_TABCONSTRAINT', 'OBJECT_POLICY', 'OBJECT_RULE', 'OBJECT_TRIGGER'],
]);
const PARTS = new Set(['OBJECT_COLUMN', 'OBJECT_TABCONSTRAINT', 'OBJECT_POLICY', 'OBJECT_RULE', 'OBJECT_TRIGGER']);

/** The relations that only their owner may do this to. */
function ownersOnly({ statement, schema }: RuleContext): Name[] {
  const { kind, node } = statement;
  const type = objectType(statement);
  switch (kind) {
    case 'AlterTableStmt':
    case 'IndexStmt':
    case 'RuleStmt':
    case 'RefreshMatViewStmt':
      return [relationIn(node['relation'], schema)];
    case 'CreatePolicyStmt':
    case 'AlterPolicyStmt':
      return [relationIn(node['table'], schema)];
    case 'AlterSeqStmt':
      return [relationIn(node['sequence'], schema)];
    case 'RenameStmt':
    case 'AlterObjectSchemaStmt':
      return node['relation'] !== undefined && RELATION_OBJECTS.has(type) ? [relationIn(node['relation'], schema)] : [];
    case 'DropStmt':
    case 'CommentStmt': {
      if (!RELATION_OBJECTS.has(type)) return [];
      const objects = kind === 'DropStmt' ? droppedObjects(statement) : [textsIn(node['object'])];
      return objects.map((texts) => nameIn(PARTS.has(type) ? texts.slice(0, -1) : texts, schema));
    }
    default:
      return [];
  }
}

/** The types and functions that only their owner may do this to. */
function foreignObjects({ statement, schema, facts }: RuleContext): string[] {
  const { kind, node } = statement;
  const type = objectType(statement);
  const ofType = (texts: readonly string[]): string[] => notOwned(facts.types, nameIn(texts, schema), schema);
  const ofFunction = (texts: readonly string[]): string[] => notOwned(facts.functions, nameIn(texts, schema), schema);
  if (kind === 'AlterEnumStmt' || kind === 'AlterDomainStmt') return ofType(textsIn(node['typeName']));
  if (kind === 'AlterFunctionStmt') return ofFunction(textsIn(nodeIn(node['func'])['objname']));
  if (kind === 'CreateFunctionStmt') return node['replace'] === true ? ofFunction(textsIn(node['funcname'])) : [];
  if (kind !== 'DropStmt' && kind !== 'RenameStmt' && kind !== 'AlterObjectSchemaStmt') return [];
  const objects = kind === 'DropStmt' ? droppedObjects(statement) : [textsIn(node['object'])];
  if (type === 'OBJECT_TYPE' || type === 'OBJECT_DOMAIN') return objects.flatMap(ofType);
  return type === 'OBJECT_FUNCTION' || type === 'OBJECT_PROCEDURE' ? objects.flatMap(ofFunction) : [];
}
const notOwned = (all: readonly (Name & { owned: boolean })[], name: Name, schema: string): string[] =>
  all
    .filter((one) => one.schema === name.schema && one.name === name.name && !one.owned)
    .slice(0, 1)
    .map((one) => shown(one, schema));

const WORKER = 'CREATE ROLE shop_worker;\nCREATE ROLE shop_owner';
const AS_WORKER = 'GRANT USAGE, CREATE ON SCHEMA shop TO shop_worker, shop_owner;\nSET LOCAL ROLE shop_worker';
const OWNED_BY_OTHER = 'CREATE TABLE users (id bigint PRIMARY KEY);\nALTER TABLE users OWNER TO shop_owner';

const notOwner: Rule = {
  code: 'not-owner',
  severity: 'error',
  title: "What the worker's role doesn't own",
  why: 'ALTER, DROP, CREATE INDEX and the like are for the owner of the table, no grant gives them. The statement fails (42501), and so would its rollback.',
  safeForm:
    "Make the worker's role a member of the owner (`GRANT owner TO worker`), or let `directUrl` of that database use a role that owns it.",
  check(context) {
    const { facts, schema } = context;
    if (facts.role.superuser) return [];
    const relations = ownersOnly(context).flatMap((name): RelationFacts[] => {
      const relation = find(facts, name);
      return relation === undefined || relation.owned ? [] : [relation];
    });
    const names = [...relations.map((relation) => shown(relation, schema)), ...foreignObjects(context)];
    return names.length === 0
      ? []
      : [{ message: `the role ${word(facts.role.name)} is not the owner of ${listed([...new Set(names)])}` }];
  },
  examples: {
    fires: { given: `${WORKER};\n${OWNED_BY_OTHER};\n${AS_WORKER}`, up: 'ALTER TABLE users ADD COLUMN email text' },
    silent: {
      given: `${WORKER};\n${OWNED_BY_OTHER};\nGRANT shop_owner TO shop_worker;\n${AS_WORKER}`,
      up: 'ALTER TABLE users ADD COLUMN email text',
      because: 'the role is a member of the owner',
    },
  },
};

/** The schemas that a statement makes something in. */
function schemasCreatedIn({ kind, node }: Statement, schema: string): string[] {
  const of = (value: unknown): string[] => [relationIn(value, schema).schema];
  const named = (value: unknown): string[] => [nameIn(textsIn(value), schema).schema];
  switch (kind) {
    case 'CreateStmt':
    case 'IndexStmt':
      return of(node['relation']);
    case 'CreateForeignTableStmt':
      return of(nodeIn(node['base'])['relation']);
    case 'CreateTableAsStmt':
      return of(nodeIn(node['into'])['rel']);
    case 'ViewStmt':
      return of(node['view']);
    case 'CreateSeqStmt':
      return of(node['sequence']);
    case 'CompositeTypeStmt':
      return of(node['typevar']);
    case 'CreateEnumStmt':
    case 'CreateRangeStmt':
      return named(node['typeName']);
    case 'CreateDomainStmt':
      return named(node['domainname']);
    case 'CreateFunctionStmt':
      return named(node['funcname']);
    case 'AlterObjectSchemaStmt':
      return [textIn(node['newschema'])];
    case 'RenameStmt':
      return node['renameType'] === 'OBJECT_TABLE' ? of(node['relation']) : [];
    case 'DefineStmt':
      return named(node['defnames']);
    default:
      return [];
  }
}

const mayNotCreate = (facts: SchemaFacts, name: string): boolean =>
  facts.schemas.find((schema) => schema.name === name)?.mayCreate === false;

const noCreatePrivilege: Rule = {
  code: 'no-create-privilege',
  severity: 'error',
  title: 'A schema in which the worker may not create',
  why: 'Tables, indexes, views, types and functions need CREATE on their schema, a schema needs CREATE on the database. Since Postgres 15 nobody but the owner of the database has it on `public`. The statement fails (42501).',
  safeForm: "`GRANT CREATE ON SCHEMA … TO` the worker's role, once, by whoever owns the schema.",
  check({ statement, schema, facts }) {
    if (facts.role.superuser) return [];
    const role = word(facts.role.name);
    if (statement.kind === 'CreateSchemaStmt') {
      const name = textIn(statement.node['schemaname']);
      const known = facts.schemas.some((one) => one.name === name);
      return known || facts.role.mayCreateInDatabase
        ? []
        : [{ message: `the role ${role} may not create schemas in this database` }];
    }
    return schemasCreatedIn(statement, schema)
      .filter((name) => mayNotCreate(facts, name))
      .map(
        (name): Hit => ({
          message: `the role ${role} may not create in the schema ${word(name)}`,
          safeForm: `GRANT CREATE ON SCHEMA ${word(name)} TO ${role}`,
        }),
      );
  },
  examples: {
    fires: {
      given: `${WORKER};\nGRANT USAGE ON SCHEMA shop TO shop_worker;\nSET LOCAL ROLE shop_worker`,
      up: 'CREATE TABLE users (id bigint PRIMARY KEY)',
    },
    silent: {
      given: `${WORKER};\n${AS_WORKER}`,
      up: 'CREATE TABLE users (id bigint PRIMARY KEY)',
      because: 'the role has CREATE on the schema',
    },
  },
};

const noReferencesPrivilege: Rule = {
  code: 'no-references-privilege',
  severity: 'error',
  title: 'Foreign key to a table of somebody else',
  why: 'To point at a table of another owner takes the REFERENCES privilege on it, for a foreign key keeps its rows from being deleted. Without, the statement fails (42501).',
  safeForm: "`GRANT REFERENCES ON … TO` the worker's role; or make the worker's role a member of the owner.",
  check({ statement, schema, facts }) {
    if (facts.role.superuser) return [];
    return referencedIn(statement, schema)
      .flatMap((name) => find(facts, name) ?? [])
      .filter((target) => !target.owned)
      .map((target) => ({
        // Whether it was granted, the facts don't say.
        message: `the role ${word(facts.role.name)} doesn't own ${shown(target, schema)}, and needs REFERENCES on it`,
        safeForm: `GRANT REFERENCES ON ${shown(target, schema)} TO ${word(facts.role.name)}`,
      }));
  },
  examples: {
    fires: {
      given: `${WORKER};\n${OWNED_BY_OTHER};\n${AS_WORKER}`,
      up: 'CREATE TABLE visits (id bigint PRIMARY KEY, who bigint REFERENCES users)',
    },
    silent: {
      given: `${WORKER};\n${OWNED_BY_OTHER};\nGRANT shop_owner TO shop_worker;\n${AS_WORKER}`,
      up: 'CREATE TABLE visits (id bigint PRIMARY KEY, who bigint REFERENCES users)',
      because: 'the role is a member of the owner of the referenced table',
    },
  },
};

/** Every table that REFERENCES names, wherever it stands in the statement. */
function referencedIn(statement: Statement, schema: string): Name[] {
  const found: Name[] = [];
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) visit(item);
    else if (typeof value === 'object' && value !== null) {
      const foreign = fieldsOf(value, 'Constraint');
      if (foreign?.['pktable'] !== undefined) found.push(relationIn(foreign['pktable'], schema));
      for (const inner of Object.values(value)) visit(inner);
    }
  };
  visit(statement.node);
  return found;
}

export const PRIVILEGE_RULES: readonly Rule[] = [notOwner, noCreatePrivilege, noReferencesPrivilege];
