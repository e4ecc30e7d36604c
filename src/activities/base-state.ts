import type { CatalogSnapshot } from '../adapters/postgres/catalog.ts';
import { catalogDifference } from '../adapters/postgres/catalog-difference.ts';
import { differenceWords } from '../adapters/postgres/difference-words.ts';
import { readSchema, SchemaSnapshots, type SeenSchema } from '../adapters/postgres/schema-snapshots.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { Deps } from './deps.ts';

/** The schema that each database must have for a plan to start: digests by the names that the plan uses. */
export type BaseState = Readonly<Record<string, string>>;

/**
 * Refuses, with what differs, databases whose schema is not the one that the plan was written for. Only for the first
 * start of a version and epoch: from then on the migration itself changes the schema. Throws `BaseStateDiffers`.
 */
export async function assertBaseState(deps: Deps, baseState: BaseState): Promise<void> {
  const wrong: string[] = [];
  const names: string[] = [];
  for (const [database, wanted] of Object.entries(baseState)) {
    const seen = await readSchema(deps.databases.get(database));
    await new SchemaSnapshots(deps.home.database).keep(database, seen);
    if (seen.digest === wanted) continue;
    names.push(database);
    wrong.push(...(await baseStateWords(deps, { database, wanted, seen })));
  }
  if (wrong.length === 0) return;
  throw new SwitchbackError(
    'BaseStateDiffers',
    ['the schema is not the one that the plan was written for; nothing was changed', ...wrong].join('\n'),
    {
      hint: 'bring the schema back; or, where the plan is right for the schema as it is now, put the digests that `switchback check` prints in spec.baseState; then start it',
      fields: { databases: names.join(', ') },
    },
  );
}

/** What differs in one database, a line each: the first says which digests are meant. */
export async function baseStateWords(
  deps: Deps,
  { database, wanted, seen }: { database: string; wanted: string; seen: SeenSchema },
): Promise<string[]> {
  const kept = await new SchemaSnapshots(deps.home.database).find(wanted);
  if (kept === null) {
    return [
      `${database}: the schema now has digest ${seen.digest}`,
      `  the plan names ${wanted}, which isn't known here, so what differs can't be listed: digests are known once \`switchback check\` or a start with a base state has seen them`,
    ];
  }
  const lines = differenceWords(catalogDifference(kept, named(seen.snapshot)));
  return [
    `${database}: the schema has changed since ${wanted}; it now has digest ${seen.digest}`,
    ...lines.map((line) => `  ${line}`),
  ];
}

/** What was kept may come from another database of the same schema: there, only names tell which object is which. */
const named = (snapshot: CatalogSnapshot): CatalogSnapshot =>
  new Map([...snapshot].map(([key, object]) => [key, { ...object, identity: key }]));
