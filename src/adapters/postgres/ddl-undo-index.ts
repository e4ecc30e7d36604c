import type { CatalogObject } from './catalog.ts';
import { netDifference } from './catalog-made.ts';
import { type DdlStatement, type DdlWork, readDetail } from './ddl-record.ts';
import { applyIndexBuild } from './index-build.ts';

/** Takes a printed definition apart: UNIQUE, and what follows the table's name. */
const DEFINITION =
  /^CREATE (UNIQUE )?INDEX (?:"(?:[^"]|"")*"|[^\s"]+) ON (?:"(?:[^"]|"")*"|[^\s".]+)\.(?:"(?:[^"]|"")*"|[^\s"]+) (.*)$/s;

/**
 * Indexes that a statement dropped, by themselves or with their constraint, are built anew without holding up writers,
 * before the statement is undone. Their builds are recorded under `undo`, by number: answers with the last one.
 */
export async function rebuildDroppedIndexes(work: DdlWork, at: number, built: number): Promise<number> {
  const record = await work.ledger.read(work.key);
  const done = record === null ? [] : readDetail(record, 'up').done;
  const own = done[at];
  if (own === undefined) return built;
  const { dropped } = netDifference(
    own.difference,
    done.slice(0, at).map(({ difference }) => difference),
  );
  let number = built;
  for (const index of dropped.filter(isBuiltAlone)) {
    const definition = String(index.properties['definition']);
    const parts = DEFINITION.exec(definition);
    if (parts === null) continue;
    number += 1;
    const statement: DdlStatement = {
      number,
      text: definition.replace(/^CREATE (UNIQUE )?INDEX /, (start) => `${start}CONCURRENTLY `),
      scope: own.scope,
      runs: { as: 'transaction' },
      unseen: null,
    };
    const build = {
      schema: index.schema,
      table: index.of,
      name: index.name,
      unique: parts[1] !== undefined,
      ifNotExists: true,
      rest: parts[2] ?? '',
    };
    if (!own.undone) await applyIndexBuild({ ...work, slot: 'undo' }, { statement, index: build, last: false });
  }
  return number;
}

/** A partitioned table's index, and what it gave to the partitions, can't be built concurrently. */
const isBuiltAlone = ({ kind, properties }: CatalogObject): boolean =>
  kind === 'index' &&
  properties['valid'] === true &&
  (properties['parents'] as string[]).length === 0 &&
  !String(properties['definition']).includes(' ON ONLY ');
