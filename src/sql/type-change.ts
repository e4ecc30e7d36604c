import type { SchemaFacts, TypeFacts } from './facts.ts';
import type { SqlNode } from './parser.ts';
import { fieldsOf, listIn, nodeIn, textIn } from './tree.ts';
import { INTERVAL_FULL_RANGE, sameType, type SqlType, typeIn, typeOf } from './type-name.ts';

/**
 * What ALTER COLUMN TYPE does to the rows, for a session whose time zone is UTC, as the engine's always is: whether
 * they are written anew, and, where they aren't, whether indexes on the column have to be.
 * Source: ATColumnChangeRequiresRewrite and CheckIndexCompatible of Postgres, the support functions of casts.
 */
export interface TypeChange {
  rewrites: boolean;
  /** Another operator class: indexes on the column can't be kept. */
  reindexes: boolean;
}

const KEPT: TypeChange = { rewrites: false, reindexes: false };
const REINDEXED: TypeChange = { rewrites: false, reindexes: true };
const REWRITTEN: TypeChange = { rewrites: true, reindexes: true };

/** Casts without a function (`castmethod` b) between types that have a column's index in common. */
const SAME_OPERATORS = new Set(['varchar text', 'text varchar', 'cidr inet', 'bit varbit', 'varbit bit']);
/** Casts without a function, whose types have operators of their own. */
const OTHER_OPERATORS = new Set([
  ...['text bpchar', 'varchar bpchar', 'xml text', 'xml varchar', 'xml bpchar', 'int4 oid', 'oid int4'],
  ...['timestamp timestamptz', 'timestamptz timestamp'],
  ...['regclass', 'regtype', 'regproc', 'regprocedure', 'regrole', 'regnamespace', 'regconfig'].flatMap((type) => [
    ...[`${type} oid`, `oid ${type}`, `${type} int4`, `int4 ${type}`],
  ]),
]);

/** @param using the expression of USING, or null */
export function typeChange(
  from: SqlType,
  to: SqlType,
  { using, column, facts }: { using: unknown; column: string; facts: SchemaFacts },
): TypeChange {
  if (using !== null && using !== undefined && !isPlain(using, column, to)) return REWRITTEN;
  const target = withoutDomain(to, facts);
  // The rows of a domain with constraints are checked by computing each anew.
  if (target === null) return sameType(from, to) ? KEPT : REWRITTEN;
  return between(withoutDomain(from, facts, true) ?? from, target);
}

function between(from: SqlType, to: SqlType): TypeChange {
  if (from.array !== to.array) return REWRITTEN;
  const same = from.schema === to.schema && from.name === to.name;
  if (from.array) return same && (to.modifiers.length === 0 || sameType(from, to)) ? KEPT : REWRITTEN;
  if (same) return keepsValues(from, to) ? KEPT : REWRITTEN;
  if (from.schema !== null || to.schema !== null) return REWRITTEN;
  const pair = `${from.name} ${to.name}`;
  // What is cast and then cut to a length is computed row by row.
  if (to.modifiers.length > 0) return REWRITTEN;
  return SAME_OPERATORS.has(pair) ? KEPT : OTHER_OPERATORS.has(pair) ? REINDEXED : REWRITTEN;
}

/** Whether every value of the one length or precision is one of the other as it stands. */
function keepsValues(from: SqlType, to: SqlType): boolean {
  const [wide, scale] = to.modifiers;
  const [had, hadScale] = from.modifiers;
  if (wide === undefined || sameType(from, to)) return true;
  switch (to.name) {
    case 'varchar':
    case 'varbit':
      return had !== undefined && wide >= had;
    case 'numeric':
      return had !== undefined && scale === hadScale && wide >= had;
    case 'timestamp':
    case 'timestamptz':
    case 'time':
    case 'timetz':
      return wide >= PRECISION_MAX || (had !== undefined && wide >= had);
    case 'interval':
      return keepsInterval(from.modifiers, to.modifiers);
    default:
      return false;
  }
}
const PRECISION_MAX = 6;

function keepsInterval(from: readonly number[], to: readonly number[]): boolean {
  const [range, precision = PRECISION_MAX] = to;
  const [hadRange = INTERVAL_FULL_RANGE, had = PRECISION_MAX] = from;
  return (range === INTERVAL_FULL_RANGE || range === hadRange) && precision >= Math.min(had, PRECISION_MAX);
}

/** What a domain is of, of any depth; null for one with constraints, or of which nothing is known. */
export function withoutDomain(type: SqlType, facts: SchemaFacts, ignoreConstraints = false): SqlType | null {
  const domain = typeFacts(type, facts);
  if (domain?.kind !== 'domain' || type.array) return type;
  if (domain.domain === undefined || domain.domain === null) return null;
  if (domain.domain.constrained && !ignoreConstraints) return null;
  return withoutDomain(typeIn(domain.domain.base), facts, ignoreConstraints);
}
export const typeFacts = (type: SqlType, facts: SchemaFacts): TypeFacts | undefined =>
  type.schema === null
    ? undefined
    : facts.types.find(({ schema, name }) => schema === type.schema && name === type.name);

/** `USING c`, or `USING c::type` with the very type that the column gets. */
function isPlain(using: unknown, column: string, to: SqlType): boolean {
  const cast = fieldsOf(using, 'TypeCast');
  if (cast !== null) {
    return isPlain(cast['arg'], column, to) && sameType(typeOf(nodeIn(cast['typeName']), to.schema ?? ''), to);
  }
  const fields = listIn(fieldsOf(using, 'ColumnRef')?.['fields']) as SqlNode[];
  return fields.length === 1 && textIn(fieldsOf(fields[0], 'String')?.['sval']) === column;
}
