import type { FunctionFacts, RelationFacts, SchemaFacts, TypeFacts } from '../../sql/facts.ts';
import { withoutValues } from './blockers.ts';
import type { Queryable, Row } from './database.ts';
import { clientStatements, FUNCTIONS, RELATIONS, SCOPE, SURROUNDINGS, TYPES } from './schema-facts-queries.ts';
import { withStanding } from './schema-facts-standing.ts';

/** An object by its schema and name, as stored, without quotes. */
export interface ObjectName {
  schema: string;
  name: string;
}
/** What the facts are wanted of. Names that the catalog doesn't have are left out of the answer. */
export interface FactNames {
  /** Tables, views, indexes, sequences: all share one namespace. */
  relations: readonly ObjectName[];
  types?: readonly ObjectName[];
  functions?: readonly ObjectName[];
}

/**
 * Reads what the catalog says of these objects and of all that reaches them: partitions of every level, parents, the
 * table of an index, tables at either end of a foreign key, views, types of columns. A handful of statements, whatever
 * the number of relations. It changes nothing and needs no transaction; printing an expression can wait for an
 * exclusive lock, so whoever is in a hurry sets a lock timeout.
 *
 * @param options `roomBytes`: how much the database may still grow, null where nobody knows; `oldAfterSeconds`: from
 * which age on a snapshot is old, a minute unless said otherwise
 */
export async function readSchemaFacts(
  session: Queryable,
  names: FactNames,
  { roomBytes = null, oldAfterSeconds = 60 }: { roomBytes?: number | null; oldAfterSeconds?: number } = {},
): Promise<SchemaFacts> {
  const wantedTypes = columnsOf(names.types ?? []);
  const found = await session.query(SCOPE, [...columnsOf(names.relations), ...wantedTypes]);
  const scope = found.map((row) => row['oid'] ?? null);
  const relations = factsIn<RelationFacts>(await session.query(RELATIONS, [scope]));
  const types = factsIn<TypeFacts>(await session.query(TYPES, [scope, ...wantedTypes]));
  const functions = factsIn<FunctionFacts>(await session.query(FUNCTIONS, columnsOf(names.functions ?? [])));
  const [row = {}] = await session.query(SURROUNDINGS, [oldAfterSeconds]);
  const [surroundings] = factsIn<Omit<SchemaFacts, 'relations' | 'types' | 'functions'>>([row]);
  const tables = relations.filter(({ kind }) => kind !== 'index' && kind !== 'sequence').map(({ name }) => name);
  return withStanding(session, {
    ...(surroundings as Omit<SchemaFacts, 'relations' | 'types' | 'functions'>),
    roomBytes,
    relations,
    types,
    functions,
    clientStatements: await readClientStatements(session, row['statements_in'] ?? null, tables),
  });
}

const columnsOf = (names: readonly ObjectName[]): [string[], string[]] => [
  names.map(({ schema }) => schema),
  names.map(({ name }) => name),
];

const factsIn = <Facts>(rows: readonly Row[]): Facts[] =>
  rows.map((row) => JSON.parse(row['facts'] ?? 'null') as Facts);

async function readClientStatements(
  session: Queryable,
  quotedSchema: string | null,
  tables: readonly string[],
): Promise<string[] | null> {
  if (quotedSchema === null) return null;
  if (tables.length === 0) return [];
  const rows = await session.query(clientStatements(quotedSchema), [tables.map((name) => name.toLowerCase())]);
  const texts = rows.map((row) => withoutValues(row['query'] ?? ''));
  return [...new Set(texts)].filter((text) => tables.some((name) => namesWhole(text, name)));
}

/** Whether the name stands there as a word of its own: `users`, not `power_users`. */
function namesWhole(text: string, name: string): boolean {
  const [inText, wanted] = [text.toLowerCase(), name.toLowerCase()];
  for (let at = inText.indexOf(wanted); at >= 0; at = inText.indexOf(wanted, at + 1)) {
    const around = `${inText.charAt(at - 1)}${inText.charAt(at + wanted.length)}`;
    if (!/[\p{L}\p{N}_$]/u.test(around)) return true;
  }
  return false;
}
