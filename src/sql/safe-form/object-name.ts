import type { RelationFacts, SchemaFacts } from '../facts.ts';

/**
 * The names that Postgres itself would give, so that the catalog ends up as after the statement as written.
 * Source: makeObjectName, ChooseRelationName, ChooseConstraintName and ChooseIndexColumnNames of Postgres.
 */
const NAME_BYTES_MAX = 63;

export interface NameParts {
  schema: string;
  table: string;
  columns: readonly string[];
  label: string;
}

/** Names that are in use, and those given since. */
export class NamesTaken {
  readonly #relations: Set<string>;
  readonly #constraints: Set<string>;

  constructor({ relations }: SchemaFacts) {
    this.#relations = new Set(
      relations.flatMap(({ schema, name, indexes }) => [
        keyOf(schema, name),
        ...indexes.map((index) => keyOf(schema, index.name)),
      ]),
    );
    this.#constraints = new Set(
      relations.flatMap(({ schema, constraints }) => constraints.map(({ name }) => keyOf(schema, name))),
    );
  }

  /** A free name for an index; one that serves a constraint must not be a constraint's name either. */
  index(parts: NameParts): string {
    const lists = parts.label === 'idx' ? [this.#relations] : [this.#relations, this.#constraints];
    return take(lists, parts);
  }

  /** A free name for a constraint that has no index. */
  constraint(parts: NameParts): string {
    return take([this.#constraints], parts);
  }

  sequence(parts: Omit<NameParts, 'label'>): string {
    return take([this.#relations], { ...parts, label: 'seq' });
  }
}

const keyOf = (schema: string, name: string): string => JSON.stringify([schema, name]);

function take(lists: readonly Set<string>[], { schema, table, columns, label }: NameParts): string {
  for (let pass = 0; ; pass++) {
    const second = columns.length === 0 ? null : addition(columns);
    const name = objectName(table, second, pass === 0 ? label : `${label}${pass}`);
    const key = keyOf(schema, name);
    if (lists.some((names) => names.has(key))) continue;
    for (const names of lists) names.add(key);
    return name;
  }
}

/** `table_columns_label`, the longer of the two first parts shortened until all of it fits. */
export function objectName(first: string, second: string | null, label: string): string {
  const room = NAME_BYTES_MAX - Buffer.byteLength(label) - 1 - (second === null ? 0 : 1);
  let [a, b] = [Buffer.byteLength(first), Buffer.byteLength(second ?? '')];
  while (a + b > room) {
    if (a > b) a -= 1;
    else b -= 1;
  }
  return [clipped(first, a), ...(second === null ? [] : [clipped(second, b)]), label].join('_');
}

/** The first bytes of a text, cut between characters. */
function clipped(text: string, bytes: number): string {
  const buffer = Buffer.from(text);
  if (buffer.length <= bytes) return text;
  let end = bytes;
  // A byte 10xxxxxx goes on with a character that began before it.
  while (end > 0 && ((buffer[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return buffer.subarray(0, end).toString();
}

/** Column names joined, as many as a name can hold. */
function addition(columns: readonly string[]): string {
  let joined = '';
  for (const column of columns) {
    joined += `${joined === '' ? '' : '_'}${column}`;
    if (Buffer.byteLength(joined) > NAME_BYTES_MAX) break;
  }
  return clipped(joined, NAME_BYTES_MAX);
}

/** Names of an index's columns, each once: `expr`, `expr1`. */
export function distinctNames(names: readonly string[]): string[] {
  const chosen: string[] = [];
  for (const name of names) {
    let candidate = name;
    for (let number = 1; chosen.includes(candidate); number++) {
      candidate = `${clipped(name, NAME_BYTES_MAX - String(number).length)}${number}`;
    }
    chosen.push(candidate);
  }
  return chosen;
}

/** Whether rows are there that a scan or a rewrite would have to go through, with clients that would wait for it. */
export const isUsed = (relation: RelationFacts | undefined): relation is RelationFacts =>
  relation !== undefined && !relation.fresh && relation.heapBytes > 0;
