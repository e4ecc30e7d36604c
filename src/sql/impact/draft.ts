import { type RelationFacts, relationOf, type SchemaFacts } from '../facts.ts';
import { type Impact, LOCK_MODES, type LockMode, type WorkImpact } from '../impact.ts';
import type { Name } from '../tree.ts';

/** An impact as it is put together. Of relations that the catalog doesn't have, nothing is noted. */
export interface ImpactDraft {
  facts: SchemaFacts;
  /** The schema that unqualified names mean. */
  schema: string;
  find(name: Name): RelationFacts | undefined;
  /** Notes a lock, the strongest of each relation counts. */
  lock(names: readonly Name[] | Name, mode: LockMode): void;
  rewrite(name: Name, why: string): void;
  scan(name: Name, why: string): void;
  /** What is added to the disk, in bytes. */
  disk(bytes: number): void;
  done(): Impact;
}

export function impactDraft(facts: SchemaFacts, schema: string): ImpactDraft {
  const locks = new Map<string, { name: Name; mode: LockMode }>();
  const work = { rewrites: new Map<string, WorkImpact>(), scans: new Map<string, WorkImpact>() };
  let diskBytes = 0;
  const find = (name: Name): RelationFacts | undefined => relationOf(facts, name.schema, name.name);
  const note = (kind: keyof typeof work, name: Name, why: string): void => {
    const relation = find(name);
    if (relation === undefined || !STORED.has(relation.kind)) return;
    const key = JSON.stringify([name.schema, name.name]);
    const before = work[kind].get(key);
    if (before?.why.split('; ').includes(why) === true) return;
    const { rows, bytes } = ownSize(relation, facts);
    work[kind].set(key, {
      schema: name.schema,
      relation: name.name,
      why: before === undefined ? why : `${before.why}; ${why}`,
      rows,
      bytes,
    });
  };
  return {
    facts,
    schema,
    find,
    lock(names, mode) {
      for (const { schema: of, name } of Array.isArray(names) ? (names as readonly Name[]) : [names as Name]) {
        if (find({ schema: of, name }) === undefined) continue;
        const key = JSON.stringify([of, name]);
        const held = locks.get(key)?.mode;
        if (held !== undefined && LOCK_MODES.indexOf(held) >= LOCK_MODES.indexOf(mode)) continue;
        locks.set(key, { name: { schema: of, name }, mode });
      }
    },
    rewrite: (name, why) => note('rewrites', name, why),
    scan: (name, why) => note('scans', name, why),
    disk(bytes) {
      diskBytes += Math.ceil(bytes);
    },
    done() {
      const rewrites = [...work.rewrites.values()];
      // A table that is rewritten is read through anyway.
      const scans = [...work.scans.entries()].filter(([key]) => !work.rewrites.has(key)).map(([, scan]) => scan);
      // Locks are held until the transaction ends, so each for as long as the statement's longest work.
      const isWork = ({ bytes }: WorkImpact): boolean => bytes > 0;
      const held = rewrites.some(isWork) ? 'rewrite' : scans.some(isWork) ? 'scan' : 'moment';
      return {
        locks: [...locks.values()].map(({ name, mode }) => ({
          schema: name.schema,
          relation: name.name,
          mode,
          held,
          ...(find(name)?.fresh === true && { fresh: true as const }),
        })),
        rewrites,
        scans,
        diskBytes,
      };
    },
  };
}
const STORED = new Set<RelationFacts['kind']>(['table', 'materialized view', 'foreign']);

/** Rows and bytes of the relation itself: without its heirs', which the facts of a parent include. */
export function ownSize(relation: RelationFacts, facts: SchemaFacts): { rows: number | null; bytes: number } {
  const heirs = relation.partitions
    .filter(({ parent }) => parent.schema === relation.schema && parent.name === relation.name)
    .flatMap(({ schema, name }) => relationOf(facts, schema, name) ?? []);
  const bytes = Math.max(0, relation.heapBytes - sum(heirs.map(({ heapBytes }) => heapBytes)));
  const rows =
    relation.rows === null || heirs.some((heir) => heir.rows === null)
      ? null
      : Math.max(0, relation.rows - sum(heirs.map((heir) => heir.rows ?? 0)));
  return { rows, bytes };
}
const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

/** The relation and all its partitions and heirs; by itself where `only` says ONLY. */
export const familyOf = (relation: RelationFacts, only = false): Name[] => [
  { schema: relation.schema, name: relation.name },
  ...(only ? [] : relation.partitions.map(({ schema, name }) => ({ schema, name }))),
];

/** Views that read the relation, and those that read them. */
export function readersOf(relation: RelationFacts, draft: ImpactDraft, column?: string): Name[] {
  const direct = relation.readBy.filter(({ columns }) => column === undefined || columns.includes(column));
  return direct.flatMap(({ schema, name }) => {
    const view = draft.find({ schema, name });
    return [{ schema, name }, ...(view === undefined ? [] : readersOf(view, draft))];
  });
}
