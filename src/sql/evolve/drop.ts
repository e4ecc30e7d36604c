import { relationOf, type SchemaFacts } from '../facts.ts';
import { familyOf } from '../impact/draft.ts';
import type { Statement } from '../parser.ts';
import { cascades, droppedObjects, type Name, nameIn, objectType, sameName } from '../tree.ts';
import { changed, removed } from './catalog.ts';

export function drop(facts: SchemaFacts, statement: Statement, schema: string): SchemaFacts {
  return droppedObjects(statement).reduce(
    (after, texts) => dropOne(after, statement, nameIn(texts, schema), texts),
    facts,
  );
}

function dropOne(facts: SchemaFacts, statement: Statement, name: Name, texts: readonly string[]): SchemaFacts {
  switch (objectType(statement)) {
    case 'OBJECT_TABLE':
    case 'OBJECT_FOREIGN_TABLE':
    case 'OBJECT_VIEW':
    case 'OBJECT_MATVIEW':
    case 'OBJECT_SEQUENCE':
      return dropRelation(facts, name, cascades(statement));
    case 'OBJECT_INDEX':
      return removed(facts, [name]);
    case 'OBJECT_TRIGGER': {
      const table = nameIn(texts.slice(0, -1), name.schema);
      return changed(facts, table, (relation) => ({
        ...relation,
        triggers: relation.triggers.filter((trigger) => trigger.name !== texts.at(-1)),
      }));
    }
    case 'OBJECT_TYPE':
    case 'OBJECT_DOMAIN':
      return { ...facts, types: facts.types.filter((type) => !sameName(type, name)) };
    case 'OBJECT_FUNCTION':
    case 'OBJECT_PROCEDURE':
    case 'OBJECT_ROUTINE':
    case 'OBJECT_AGGREGATE':
      return { ...facts, functions: facts.functions.filter((one) => !sameName(one, name)) };
    case 'OBJECT_SCHEMA': {
      const of = texts.at(-1) ?? '';
      const own = facts.relations.filter((relation) => relation.schema === of);
      return {
        ...removed(facts, own),
        types: facts.types.filter((type) => type.schema !== of),
        functions: facts.functions.filter((one) => one.schema !== of),
        schemas: facts.schemas.filter((one) => one.name !== of),
      };
    }
    default:
      return facts;
  }
}

function dropRelation(facts: SchemaFacts, name: Name, cascade: boolean): SchemaFacts {
  const relation = relationOf(facts, name.schema, name.name);
  if (relation === undefined) return facts;
  const indexes = relation.indexes.map((index) => ({ schema: relation.schema, name: index.name }));
  const after = removed(facts, [...familyOf(relation), ...indexes]);
  if (!cascade) return after;
  return relation.readBy.reduce((left, view) => dropRelation(left, view, true), after);
}
