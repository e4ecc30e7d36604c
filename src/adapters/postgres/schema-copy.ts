import { type CatalogObject, type CatalogSnapshot, catalogKey, catalogSnapshot, describeObject } from './catalog.ts';
import { changedProperties } from './catalog-difference.ts';
import { restoreProperties } from './catalog-restore.ts';
import { counted } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { copyStatements, rolesOf } from './schema-copy-statements.ts';

/** What of a schema is not in its copy, in words; empty where the copy's logical catalog equals the original. */
export interface SchemaCopy {
  missing: string[];
}

/**
 * Makes the schema of a snapshot in an empty database, without its data. `session` is a superuser's of a server that is
 * thrown away: roles that own or may use something are made there. What can't be made (an extension that isn't
 * installed, a foreign server) is left out and told.
 */
export async function copySchema(original: CatalogSnapshot, session: Queryable): Promise<SchemaCopy> {
  for (const role of rolesOf(original)) await makeRole(session, role);
  await session.query('SET check_function_bodies = off');
  const { foreign, ours } = withoutOurTriggers(original);
  const failed = await untilNoneHelps(session, copyStatements(foreign));
  await restoreAll(foreign, session);
  const copy = await catalogSnapshot(session);
  const missing = differences(foreign, copy, failed);
  return {
    missing: ours === 0 ? missing : [`${counted(ours, 'trigger')} of dual writes that are in force`, ...missing],
  };
}

/** Their functions are in our own schema, which is not copied: without rows there is nothing to keep in step. */
function withoutOurTriggers(original: CatalogSnapshot): { foreign: CatalogSnapshot; ours: number } {
  const foreign = new Map([...original].filter(([, object]) => !isOurTrigger(object)));
  return { foreign, ours: original.size - foreign.size };
}
const isOurTrigger = ({ kind, properties: { definition } }: CatalogObject): boolean =>
  kind === 'trigger' && typeof definition === 'string' && /EXECUTE FUNCTION "?switchback"?\./.test(definition);

async function makeRole(session: Queryable, role: string): Promise<void> {
  const [there] = await session.query('SELECT 1 FROM pg_roles WHERE oid::regrole::text = $1', [role]);
  if (there === undefined) await session.query(`CREATE ROLE ${role} NOLOGIN`);
}

/**
 * Objects lean on each other in ways that only Postgres knows (a default on a function on a type on a table). So each
 * pass runs what still fails, until a pass makes nothing more. Answers with the last errors.
 */
async function untilNoneHelps(session: Queryable, statements: readonly string[]): Promise<string[]> {
  let open = [...statements];
  for (;;) {
    const errors: string[] = [];
    const left: string[] = [];
    for (const statement of open) {
      try {
        await session.query(statement);
      } catch (error) {
        left.push(statement);
        errors.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (left.length === 0 || left.length === open.length) return errors;
    open = left;
  }
}

/** Defaults, owners, grants, comments, options: set on what is there, as a rollback sets them. */
async function restoreAll(original: CatalogSnapshot, session: Queryable): Promise<void> {
  const made = await catalogSnapshot(session);
  const statements = [...original].flatMap(([key, wanted]) => {
    const there = made.get(key);
    if (there === undefined || changedProperties({ before: wanted, after: there }).length === 0) return [];
    return restoreProperties(
      { before: wanted, after: there },
      { renamed: false, notNullConstraintDropped: () => false },
    ).statements;
  });
  await untilNoneHelps(session, statements);
}

/** Below 18, NOT NULL is not an object of its own: in the copy, on 18, it is one more. */
const isNotNull = ({ kind, properties }: CatalogObject): boolean => kind === 'constraint' && properties['type'] === 'n';

function differences(original: CatalogSnapshot, copy: CatalogSnapshot, failed: readonly string[]): string[] {
  const named = [...original.values()].some(isNotNull);
  const words: string[] = [];
  for (const [key, wanted] of original) {
    const there = copy.get(key);
    if (there === undefined) words.push(`${describeObject(wanted)} is not in the copy`);
    else {
      const changed = changedProperties({ before: wanted, after: there });
      if (changed.length > 0) words.push(`${describeObject(wanted)} has another ${changed.join(', ')} in the copy`);
    }
  }
  for (const object of copy.values()) {
    if (original.has(catalogKey(object)) || (isNotNull(object) && !named)) continue;
    words.push(`${describeObject(object)} is only in the copy`);
  }
  return words.length === 0 ? [] : [...words, ...failed.map((message) => `refused: ${message}`)];
}
