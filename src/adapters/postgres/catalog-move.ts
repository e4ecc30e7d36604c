import { type CatalogObject, catalogKey } from './catalog.ts';
import { quoteTable } from './identifier.ts';

/** One statement that brings something of the catalog back, and how it may run. */
export interface Move {
  sql: string;
  /** The relation whose lock it takes; null where it takes none that clients would wait for. */
  locks: string | null;
  /** It goes over rows, or locks further tables: nothing else shares its transaction. */
  alone: boolean;
  /** The key of the object that it drops, of those that the step created. */
  drops?: string;
}

const RELATIONS: readonly CatalogObject['kind'][] = ['table', 'foreign table', 'view', 'materialized view'];
export const isRelation = ({ kind }: Pick<CatalogObject, 'kind'>): boolean => RELATIONS.includes(kind);
export const isRoutine = ({ kind }: Pick<CatalogObject, 'kind'>): boolean =>
  kind === 'function' || kind === 'procedure' || kind === 'aggregate';

/** The relation that has to be locked for a change of the object; null for what stands by itself. */
export function lockOf(object: CatalogObject): string | null {
  if (isRelation(object)) return quoteTable(object.schema, object.name);
  return object.of === '' || isRoutine(object) ? null : quoteTable(object.schema, object.of);
}

export const moveOf = (object: CatalogObject, sql: string): Move => ({ sql, locks: lockOf(object), alone: false });
export const dropMove = (object: CatalogObject, sql: string): Move => ({
  ...moveOf(object, sql),
  drops: catalogKey(object),
});
export const aloneMove = (object: CatalogObject, sql: string): Move => ({ sql, locks: lockOf(object), alone: true });

/** The first moves that may share a transaction: none goes over rows, and only one relation is locked. */
export function nextGroup(moves: readonly Move[]): Move[] {
  const [first] = moves;
  if (first === undefined || first.alone) return first === undefined ? [] : [first];
  let locked: string | null = null;
  const group: Move[] = [];
  for (const move of moves) {
    if (move.alone || (locked !== null && move.locks !== null && move.locks !== locked)) break;
    locked ??= move.locks;
    group.push(move);
  }
  return group;
}
