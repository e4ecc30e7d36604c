import type { CatalogObject, CatalogSnapshot } from './catalog.ts';

/**
 * What Switchback itself keeps in the schemas of others while a migration runs: markers and triggers of dual writes,
 * columns and tables that are retired, rescued values. The ledger has a schema of its own, which no snapshot shows.
 */
const OWN_NAME = /^(zz_(switchback|retired|rescue|not_null)|AA_switchback)_/;

function isOwn({ of, name, properties }: CatalogObject): boolean {
  if (OWN_NAME.test(name) || OWN_NAME.test(of)) return true;
  const { columns } = properties;
  // An index or a constraint of a retired column alone goes and comes with it.
  if (!Array.isArray(columns) || columns.length === 0) return false;
  return columns.every((column) => typeof column === 'string' && OWN_NAME.test(column));
}

/** The schema as people know it: without what is ours. */
export const withoutOwn = (snapshot: CatalogSnapshot): CatalogSnapshot =>
  new Map([...snapshot].filter(([, object]) => !isOwn(object)));
