import { type RelationFacts, relationOf, type SchemaFacts } from '../facts.ts';
import { familyOf } from '../impact/draft.ts';
import type { Statement } from '../parser.ts';
import { type Name, nameIn, objectType, relationIn, sameName, textIn, textsIn } from '../tree.ts';
import { changed } from './catalog.ts';

export function rename(facts: SchemaFacts, statement: Statement, schema: string): SchemaFacts {
  const { node } = statement;
  const to = textIn(node['newname']);
  const from = textIn(node['subname']);
  const relation = relationIn(node['relation'], schema);
  const table = relationOf(facts, relation.schema, relation.name);
  switch (objectType(statement)) {
    case 'OBJECT_COLUMN':
      return table === undefined ? facts : renameColumn(facts, table, from, to);
    case 'OBJECT_TABCONSTRAINT':
      return table === undefined ? facts : changed(facts, familyOf(table), (one) => renameConstraint(one, from, to));
    case 'OBJECT_TRIGGER':
      return changed(facts, relation, (one) => ({
        ...one,
        triggers: one.triggers.map((trigger) => (trigger.name === from ? { ...trigger, name: to } : trigger)),
      }));
    case 'OBJECT_SCHEMA':
      return renameSchema(facts, from, to);
    case 'OBJECT_TYPE':
    case 'OBJECT_DOMAIN':
      return renameType(facts, nameIn(textsIn(node['object']), schema), { name: to });
    case 'OBJECT_FUNCTION':
    case 'OBJECT_PROCEDURE':
    case 'OBJECT_ROUTINE':
    case 'OBJECT_AGGREGATE': {
      const name = nameIn(textsIn(node['object']), schema);
      return {
        ...facts,
        functions: facts.functions.map((one) => (sameName(one, name) ? { ...one, name: to } : one)),
      };
    }
    default:
      return table === undefined ? facts : moveRelation(facts, relation, { ...relation, name: to });
  }
}

/** SET SCHEMA: a table takes its indexes with it. */
export function setSchema(facts: SchemaFacts, statement: Statement, schema: string): SchemaFacts {
  const { node } = statement;
  const to = textIn(node['newschema']);
  const type = objectType(statement);
  if (type === 'OBJECT_TYPE' || type === 'OBJECT_DOMAIN') {
    return renameType(facts, nameIn(textsIn(node['object']), schema), { schema: to });
  }
  if (node['relation'] === undefined) {
    const name = nameIn(textsIn(node['object']), schema);
    return {
      ...facts,
      functions: facts.functions.map((one) => (sameName(one, name) ? { ...one, schema: to } : one)),
    };
  }
  const from = relationIn(node['relation'], schema);
  const indexes = relationOf(facts, from.schema, from.name)?.indexes ?? [];
  const moved = moveRelation(facts, from, { ...from, schema: to });
  return indexes.reduce(
    (after, { name }) => moveRelation(after, { schema: from.schema, name }, { schema: to, name }),
    moved,
  );
}

/** A relation under another name, wherever others know of it. */
export function moveRelation(facts: SchemaFacts, from: Name, to: Name): SchemaFacts {
  const at = <T extends Name>(name: T): T =>
    sameName(name, from) ? { ...name, schema: to.schema, name: to.name } : name;
  return {
    ...facts,
    relations: facts.relations.map((relation): RelationFacts => {
      const moved = at(relation);
      return {
        ...moved,
        of: moved.of === null ? null : at(moved.of),
        parents: moved.parents.map((name) => at(name)),
        partitions: moved.partitions.map((one) => ({ ...at(one), parent: at(one.parent) })),
        readBy: moved.readBy.map((one) => at(one)),
        referencedBy: moved.referencedBy.map((one) =>
          sameName({ schema: one.schema, name: one.table }, from) ? { ...one, schema: to.schema, table: to.name } : one,
        ),
        constraints: moved.constraints.map((one) => ({
          ...one,
          references: one.references === null ? null : at(one.references),
        })),
        indexes:
          relation.schema === from.schema
            ? moved.indexes.map((one) => (one.name === from.name ? { ...one, name: to.name } : one))
            : moved.indexes,
      };
    }),
    types: facts.types.map((type) => ({
      ...type,
      usedBy: type.usedBy.map((one) =>
        sameName({ schema: one.schema, name: one.table }, from) ? { ...one, schema: to.schema, table: to.name } : one,
      ),
    })),
  };
}

function renameColumn(facts: SchemaFacts, table: RelationFacts, from: string, to: string): SchemaFacts {
  const at = (name: string): string => (name === from ? to : name);
  const renamed = changed(facts, familyOf(table), (relation) => ({
    ...relation,
    columns: relation.columns.map((column) => ({ ...column, name: at(column.name) })),
    constraints: relation.constraints.map((one) => ({ ...one, columns: one.columns.map(at) })),
    indexes: relation.indexes.map((one) => ({
      ...one,
      columns: one.columns.map((name) => (name === null ? null : at(name))),
    })),
    readBy: relation.readBy.map((one) => ({ ...one, columns: one.columns.map(at) })),
    referencedBy: relation.referencedBy.map((one) => ({ ...one, columns: one.columns.map(at) })),
  }));
  return {
    ...renamed,
    relations: renamed.relations.map((relation) => ({
      ...relation,
      constraints: relation.constraints.map((one) =>
        one.references !== null && sameName(one.references, table)
          ? { ...one, references: { ...one.references, columns: one.references.columns.map(at) } }
          : one,
      ),
    })),
  };
}

/** The index of a constraint is named with it. */
const renameConstraint = (relation: RelationFacts, from: string, to: string): RelationFacts => ({
  ...relation,
  constraints: relation.constraints.map((one) => (one.name === from ? { ...one, name: to } : one)),
  indexes: relation.indexes.map((one) => (one.constraint === from ? { ...one, name: to, constraint: to } : one)),
});

function renameType(facts: SchemaFacts, from: Name, to: Partial<Name>): SchemaFacts {
  return { ...facts, types: facts.types.map((type) => (sameName(type, from) ? { ...type, ...to } : type)) };
}

function renameSchema(facts: SchemaFacts, from: string, to: string): SchemaFacts {
  const own = facts.relations.filter(({ schema }) => schema === from);
  const moved = own.reduce(
    (after, { name }) => moveRelation(after, { schema: from, name }, { schema: to, name }),
    facts,
  );
  const at = <T extends { schema: string }>(one: T): T => (one.schema === from ? { ...one, schema: to } : one);
  return {
    ...moved,
    types: moved.types.map(at),
    functions: moved.functions.map(at),
    schemas: moved.schemas.map((one) => (one.name === from ? { ...one, name: to } : one)),
  };
}
