import { labelsOfNothing } from '../adapters/postgres/personal-tables.ts';
import { readSchema, SchemaSnapshots } from '../adapters/postgres/schema-snapshots.ts';
import { type BaseState, baseStateWords } from './base-state.ts';
import type { LiveCheck } from '../messages/index.ts';
import type { Deps } from './deps.ts';
import { type LiveView, noting } from './live-look.ts';

/** A look at the schema of each database that answers. */
export async function lookAtSchemas(deps: Deps, { plan, databases, found }: LiveView): Promise<void> {
  const { baseState } = plan.spec;
  for (const database of databases.keys())
    await noting(found, () => lookAtSchema(deps, { database, baseState }, found));
}

/**
 * Tells the digest of each database's schema, and what differs from the plan's base state. A schema that it sees is
 * kept in the home ledger, where there is one: a later difference can then be told object by object.
 */
async function lookAtSchema(
  deps: Deps,
  { database, baseState }: { database: string; baseState: BaseState | undefined },
  found: LiveCheck,
): Promise<void> {
  const seen = await readSchema(deps.databases.get(database));
  await new SchemaSnapshots(deps.home.database).keep(database, seen);
  found.schemas[database] = seen.digest;
  found.notes.push(`${database}: the schema has digest ${seen.digest}`);
  for (const table of await labelsOfNothing(deps.databases.get(database)))
    found.notes.push(`${database}: the configuration labels "${table}" as personal data, and there is no such table`);
  const wanted = baseState?.[database];
  if (wanted === undefined || wanted === seen.digest) return;
  const [first = '', ...lines] = await baseStateWords(deps, { database, wanted, seen });
  found.problems.push(`${first}: ${lines.map((line) => line.trim()).join('; ')}`);
}
