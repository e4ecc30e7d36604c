import { type CatalogObject, type CatalogSnapshot, catalogDigest, catalogKey, catalogSnapshot } from './catalog.ts';
import type { Database, Queryable } from './database.ts';
import { withoutOwn } from './own-objects.ts';

/**
 * Schemas as `check` and starts have seen them, by digest, in the home ledger: so that a base state that differs can be
 * told object by object. They are for people only; nothing is decided by them.
 */
const SNAPSHOTS_KEPT_MAX = 50;
/** A schema of more than this is compared by its digest alone. */
const SNAPSHOT_BYTES_MAX = 16 * 1024 * 1024;
/** Definitions can't be printed while someone holds a table exclusively: that is tried again later. */
const LOCK_WAIT_MS = 3_000;

export interface SeenSchema {
  digest: string;
  snapshot: CatalogSnapshot;
}

/** The whole schema of a database without what is ours, and its digest: `sha256:` and 64 hexadecimal digits. */
export async function readSchema(database: Database): Promise<SeenSchema> {
  return database.transaction(async (session) => {
    await session.query(`SET LOCAL lock_timeout = ${LOCK_WAIT_MS}`);
    const snapshot = withoutOwn(await catalogSnapshot(session));
    return { digest: catalogDigest(snapshot), snapshot };
  });
}

export class SchemaSnapshots {
  readonly #home: Queryable;
  constructor(home: Queryable) {
    this.#home = home;
  }

  /** Keeps a schema and drops the oldest over the bound. False where there is no home ledger yet, or it is too large. */
  async keep(database: string, { digest, snapshot }: SeenSchema): Promise<boolean> {
    // Which object it is (its OID) means nothing in another database of the same schema.
    const objects = JSON.stringify([...snapshot.values()].map((object) => ({ ...object, identity: undefined })));
    if (Buffer.byteLength(objects) > SNAPSHOT_BYTES_MAX || !(await this.#isThere())) return false;
    await this.#home.query(
      `INSERT INTO switchback.schema_snapshots (digest, database, objects) VALUES ($1, $2, $3)
       ON CONFLICT (digest) DO UPDATE SET database = excluded.database, seen_at = clock_timestamp()`,
      [digest, database, objects],
    );
    await this.#home.query(
      `DELETE FROM switchback.schema_snapshots WHERE digest IN (
         SELECT digest FROM switchback.schema_snapshots ORDER BY seen_at DESC OFFSET $1)`,
      [SNAPSHOTS_KEPT_MAX],
    );
    return true;
  }

  /** The schema of a digest; null where nobody has kept it. */
  async find(digest: string): Promise<CatalogSnapshot | null> {
    if (!(await this.#isThere())) return null;
    const [row] = await this.#home.query('SELECT objects FROM switchback.schema_snapshots WHERE digest = $1', [digest]);
    if (row === undefined) return null;
    const objects = JSON.parse(row['objects'] ?? '[]') as Omit<CatalogObject, 'identity'>[];
    return new Map(
      objects.map((object) => {
        const key = catalogKey(object);
        return [key, { ...object, identity: key }];
      }),
    );
  }

  async #isThere(): Promise<boolean> {
    const [row] = await this.#home.query("SELECT to_regclass('switchback.schema_snapshots')::text AS name");
    return row?.['name'] != null;
  }
}
