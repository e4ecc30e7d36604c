import type { RelationFacts, SchemaFacts } from './facts.ts';
import type { Impact } from './impact.ts';
import { alterTable } from './impact/alter-table.ts';
import { lockReferenced } from './impact/constraints.ts';
import { drop } from './impact/drop.ts';
import { familyOf, type ImpactDraft, impactDraft } from './impact/draft.ts';
import { indexDiskBytes } from './impact/index-size.ts';
import { createPartition } from './impact/partitions.ts';
import type { Statement } from './parser.ts';
import { tablesTouched } from './tables.ts';
import {
  fieldsOf,
  listIn,
  type Name,
  nameIn,
  nodeIn,
  objectType,
  relationIn,
  sameName,
  tableElements,
  textIn,
  textsIn,
} from './tree.ts';

const GRANT_LOCKS_SINCE = 180_000;
const TRIGGERS_RENAMED_BELOW_SINCE = 150_000;

/**
 * What a statement does to whom while it runs: its locks, the tables it rewrites or reads through, the disk it needs.
 * By the facts of the catalog, and pure. Relations that the facts don't have are left out, as are those made by the
 * statement itself. Sources: "Explicit Locking" and "ALTER TABLE" of the PostgreSQL documentation, tablecmds.c; held
 * against the locks really taken by test/rules/locks.test.ts.
 */
export function impactOf(statement: Statement, schema: string, facts: SchemaFacts): Impact {
  const draft = impactDraft(facts, schema);
  KINDS[statement.kind]?.(draft, statement);
  return draft.done();
}

type OfKind = (draft: ImpactDraft, statement: Statement) => void;

/** Kinds that take no lock on a relation of the user's are not among them: functions, extensions, casts, … */
const KINDS: Readonly<Record<string, OfKind>> = {
  AlterTableStmt: alterTable,
  DropStmt: drop,
  IndexStmt: createIndex,
  CreateStmt: createTable,
  CreateTableAsStmt: createTableAs,
  ViewStmt: createView,
  RefreshMatViewStmt: refresh,
  RenameStmt: rename,
  AlterObjectSchemaStmt: (draft, { node }) =>
    draft.lock(relationIn(node['relation'], draft.schema), 'ACCESS EXCLUSIVE'),
  CreateTrigStmt: (draft, { node }) => {
    const table = relationNamed(draft, node['relation']);
    if (table !== undefined) draft.lock(triggered(table), 'SHARE ROW EXCLUSIVE');
  },
  CreatePolicyStmt: (draft, { node }) => draft.lock(relationIn(node['table'], draft.schema), 'ACCESS EXCLUSIVE'),
  AlterPolicyStmt: (draft, { node }) => draft.lock(relationIn(node['table'], draft.schema), 'ACCESS EXCLUSIVE'),
  RuleStmt: (draft, { node }) => draft.lock(relationIn(node['relation'], draft.schema), 'ACCESS EXCLUSIVE'),
  CreateStatsStmt: (draft, { node }) => {
    for (const relation of listIn(node['relations'])) {
      draft.lock(relationIn(relation, draft.schema), 'SHARE UPDATE EXCLUSIVE');
    }
  },
  CommentStmt: describe,
  SecLabelStmt: describe,
  GrantStmt: (draft, { node }) => {
    if (node['objtype'] !== 'OBJECT_TABLE' && node['objtype'] !== 'OBJECT_SEQUENCE') return;
    if (draft.facts.serverVersion < GRANT_LOCKS_SINCE || node['targtype'] !== 'ACL_TARGET_OBJECT') return;
    for (const object of listIn(node['objects'])) draft.lock(relationIn(object, draft.schema), 'ACCESS SHARE');
  },
  CreateSeqStmt: ownedBy,
  AlterSeqStmt: (draft, statement) => {
    draft.lock(relationIn(statement.node['sequence'], draft.schema), 'SHARE ROW EXCLUSIVE');
    ownedBy(draft, statement);
  },
  AlterObjectDependsStmt: (draft, { node }) => draft.lock(relationIn(node['relation'], draft.schema), 'ACCESS SHARE'),
  AlterDomainStmt: alterDomain,
};

const relationNamed = (draft: ImpactDraft, value: unknown): RelationFacts | undefined =>
  draft.find(relationIn(value, draft.schema));
/** A trigger on a partitioned table is on all its partitions; heirs keep their own. */
const triggered = (table: RelationFacts): Name[] => familyOf(table, table.kind !== 'partitioned');

function createIndex(draft: ImpactDraft, { node }: Statement): void {
  const table = relationNamed(draft, node['relation']);
  if (table === undefined) return;
  const only = table.kind !== 'partitioned' || nodeIn(node['relation'])['inh'] !== true;
  const concurrently = node['concurrent'] === true;
  const exists = draft.find({ schema: table.schema, name: textIn(node['idxname']) })?.kind === 'index';
  const known = exists && node['if_not_exists'] === true;
  const family = familyOf(table, only || known);
  draft.lock(family, concurrently ? 'SHARE UPDATE EXCLUSIVE' : 'SHARE');
  if (known) return;
  const columns = listIn(node['indexParams']).map((item) => {
    const name = fieldsOf(item, 'IndexElem')?.['name'];
    return typeof name === 'string' ? name : null;
  });
  for (const name of family) {
    const relation = draft.find(name);
    if (relation === undefined || relation.kind === 'partitioned') continue;
    draft.scan(name, 'an index is built');
    const { peak } = indexDiskBytes(relation, columns, draft.facts, textIn(node['accessMethod']) || 'btree');
    draft.disk(peak);
  }
}

function createTable(draft: ImpactDraft, statement: Statement): void {
  const { node } = statement;
  const own = relationIn(node['relation'], draft.schema);
  if (draft.find(own) !== undefined && node['if_not_exists'] === true) return;
  const { columns, constraints, like } = tableElements(statement, draft.schema);
  for (const parent of listIn(node['inhRelations'])) {
    const name = relationIn(parent, draft.schema);
    if (node['partbound'] !== undefined) createPartition(draft, name);
    else draft.lock(name, 'SHARE UPDATE EXCLUSIVE');
  }
  draft.lock(like, 'ACCESS SHARE');
  for (const { references } of [...constraints, ...columns.flatMap((column) => column.constraints)]) {
    if (references !== null && !sameName(references, own)) lockReferenced(draft, references, 'SHARE ROW EXCLUSIVE');
  }
}

/** What a query reads: the relations it names, and those that views among them read. */
function sources(draft: ImpactDraft, names: readonly Name[]): Name[] {
  const found = new Map<string, Name>();
  const add = ({ schema, name }: Name): void => {
    const key = JSON.stringify([schema, name]);
    const relation = draft.find({ schema, name });
    if (found.has(key) || relation === undefined) return;
    found.set(key, { schema, name });
    for (const each of familyOf(relation).slice(1)) add(each);
    if (relation.kind !== 'view') return;
    for (const source of draft.facts.relations) {
      if (source.readBy.some((reader) => sameName(reader, { schema, name }))) add(source);
    }
  };
  for (const name of names) add(name);
  return [...found.values()];
}

function readAll(draft: ImpactDraft, names: readonly Name[], why: string): void {
  draft.lock(names, 'ACCESS SHARE');
  for (const name of names) draft.scan(name, why);
}

function createTableAs(draft: ImpactDraft, { node, text }: Statement): void {
  const into = nodeIn(node['into']);
  const own = relationIn(into['rel'], draft.schema);
  if (draft.find(own) !== undefined && node['if_not_exists'] === true) return;
  const named = tablesTouched(text, draft.schema).map(({ schema, table }) => ({ schema, name: table }));
  const names = sources(
    draft,
    named.filter((name) => !sameName(name, own)),
  );
  if (into['skipData'] === true) {
    draft.lock(names, 'ACCESS SHARE');
    return;
  }
  readAll(draft, names, 'its rows are copied');
  for (const name of names) draft.disk(draft.find(name)?.heapBytes ?? 0);
}

function createView(draft: ImpactDraft, { node, text }: Statement): void {
  const own = relationIn(node['view'], draft.schema);
  draft.lock(own, 'ACCESS EXCLUSIVE');
  for (const { schema, table } of tablesTouched(text, draft.schema)) {
    if (!sameName({ schema, name: table }, own)) draft.lock({ schema, name: table }, 'ACCESS SHARE');
  }
}

function refresh(draft: ImpactDraft, { node }: Statement): void {
  const view = relationNamed(draft, node['relation']);
  if (view === undefined) return;
  const name = { schema: view.schema, name: view.name };
  const read = draft.facts.relations.filter(({ readBy }) => readBy.some((reader) => sameName(reader, name)));
  if (node['concurrent'] === true) {
    draft.lock(name, 'EXCLUSIVE');
    draft.scan(name, 'its rows are compared with the new ones');
  } else {
    draft.lock(name, 'ACCESS EXCLUSIVE');
    draft.rewrite(name, 'its rows are written anew');
  }
  draft.disk(view.heapBytes + view.indexBytes);
  if (node['skipData'] !== true) readAll(draft, sources(draft, read), 'the materialized view is computed from it');
}

/** Objects whose rename locks the relation that they belong to. */
const RENAMED_WITH_TABLE = new Set([
  ...['OBJECT_TABLE', 'OBJECT_VIEW', 'OBJECT_MATVIEW', 'OBJECT_FOREIGN_TABLE', 'OBJECT_SEQUENCE', 'OBJECT_COLUMN'],
  ...['OBJECT_TABCONSTRAINT', 'OBJECT_POLICY', 'OBJECT_RULE', 'OBJECT_TRIGGER', 'OBJECT_INDEX'],
]);

function rename(draft: ImpactDraft, statement: Statement): void {
  const type = objectType(statement);
  const relation = relationNamed(draft, statement.node['relation']);
  if (relation === undefined || !RENAMED_WITH_TABLE.has(type)) return;
  const name = { schema: relation.schema, name: relation.name };
  if (relation.kind === 'index') {
    draft.lock(name, type === 'OBJECT_INDEX' ? 'SHARE UPDATE EXCLUSIVE' : 'ACCESS EXCLUSIVE');
    return;
  }
  const only = nodeIn(statement.node['relation'])['inh'] !== true;
  const constraint = relation.constraints.find((one) => one.name === textIn(statement.node['subname']));
  const goesDown =
    type === 'OBJECT_COLUMN' ||
    (type === 'OBJECT_TABCONSTRAINT' && constraint?.kind === 'check') ||
    (type === 'OBJECT_TRIGGER' &&
      relation.kind === 'partitioned' &&
      draft.facts.serverVersion >= TRIGGERS_RENAMED_BELOW_SINCE);
  draft.lock(familyOf(relation, only || !goesDown), 'ACCESS EXCLUSIVE');
}

const DESCRIBED_WITH_TABLE = new Set(['OBJECT_TABCONSTRAINT', 'OBJECT_TRIGGER', 'OBJECT_POLICY', 'OBJECT_RULE']);
const DESCRIBED = new Set([
  ...['OBJECT_TABLE', 'OBJECT_VIEW', 'OBJECT_MATVIEW', 'OBJECT_FOREIGN_TABLE', 'OBJECT_SEQUENCE', 'OBJECT_INDEX'],
]);

/** COMMENT and SECURITY LABEL. */
function describe(draft: ImpactDraft, statement: Statement): void {
  const type = objectType(statement);
  const names = textsIn(statement.node['object']);
  if (DESCRIBED.has(type)) draft.lock(nameIn(names, draft.schema), 'SHARE UPDATE EXCLUSIVE');
  if (type === 'OBJECT_COLUMN') draft.lock(nameIn(names.slice(0, -1), draft.schema), 'SHARE UPDATE EXCLUSIVE');
  if (DESCRIBED_WITH_TABLE.has(type)) draft.lock(nameIn(names.slice(0, -1), draft.schema), 'ACCESS SHARE');
}

function ownedBy(draft: ImpactDraft, { node }: Statement): void {
  for (const option of listIn(node['options'])) {
    const element = fieldsOf(option, 'DefElem');
    const names = element?.['defname'] === 'owned_by' ? textsIn(element['arg']) : [];
    if (names.length > 1) draft.lock(nameIn(names.slice(0, -1), draft.schema), 'ACCESS SHARE');
  }
}

/** Checks of a domain read every column of it under SHARE: writers wait. */
function alterDomain(draft: ImpactDraft, { node }: Statement): void {
  const name = nameIn(textsIn(node['typeName']), draft.schema);
  const clause = fieldsOf(node['def'], 'Constraint');
  const adds = node['subtype'] === 'C' && clause?.['skip_validation'] !== true;
  if (!adds && node['subtype'] !== 'O' && node['subtype'] !== 'V') return;
  const domain = draft.facts.types.find((type) => sameName(type, name));
  for (const { schema, table } of domain?.usedBy ?? []) {
    draft.lock({ schema, name: table }, 'SHARE');
    draft.scan({ schema, name: table }, `its values of ${name.name} are checked`);
  }
}
