import { type CatalogSnapshot, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import { Database } from '../../src/adapters/postgres/database.ts';

/** The logical catalog of a database as one comparable value. */
export async function snapshotOf(url: string): Promise<CatalogSnapshot> {
  const database = new Database('snapshot', { url });
  try {
    return await catalogSnapshot(database);
  } finally {
    await database.close();
  }
}
