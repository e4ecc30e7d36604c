import { type RelationFacts, relationOf, type SchemaFacts } from '../facts.ts';
import { type Name, relationIn } from '../tree.ts';
import { LARGE_TABLE_ROWS, type RuleContext } from './rule.ts';

const MEBIBYTE = 1024 * 1024;
/** Of a table that was never counted, this much can hold LARGE_TABLE_ROWS narrow rows. */
const LARGE_UNCOUNTED_BYTES = MEBIBYTE;

/** Whether work on each of its rows would hold others up noticeably; never of what the plan itself makes. */
export const isLarge = ({ fresh, rows, heapBytes }: RelationFacts): boolean =>
  !fresh && (rows === null ? heapBytes >= LARGE_UNCOUNTED_BYTES : rows >= LARGE_TABLE_ROWS);
/** Whether it may hold rows that somebody put there before the plan. */
export const holdsRows = ({ fresh, heapBytes }: RelationFacts): boolean => !fresh && heapBytes > 0;

/** `about 1,200,000 rows, 310 MiB`. */
export const sizeInWords = ({ rows, heapBytes }: Pick<RelationFacts, 'rows' | 'heapBytes'>): string =>
  `${rows === null ? 'rows not counted yet' : `about ${countInWords(rows)} rows`}, ${bytesInWords(heapBytes)}`;
export const bytesInWords = (bytes: number): string => `${countInWords(Math.ceil(bytes / MEBIBYTE))} MiB`;
export const countInWords = (count: number): string => Math.round(count).toLocaleString('en');

/** A name as people write it: without the schema that unqualified names mean, quoted where SQL asks for it. */
export const shown = ({ schema, name }: Name, inSchema: string): string =>
  schema === inSchema ? word(name) : `${word(schema)}.${word(name)}`;
export const word = (name: string): string =>
  /^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;

/** `a`, `a and b`, `a, b and 3 more`. */
export function listed(names: readonly string[], most = 4): string {
  if (names.length <= 1) return names.join('');
  if (names.length > most) return `${names.slice(0, most - 1).join(', ')} and ${names.length - most + 1} more`;
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${countInWords(count)} ${count === 1 ? one : many}`;

export const find = (facts: SchemaFacts, { schema, name }: Name): RelationFacts | undefined =>
  relationOf(facts, schema, name);

/** The relation of a statement's `relation` field, where the catalog has it. */
export const subject = ({ statement, schema, facts }: RuleContext): RelationFacts | undefined =>
  find(facts, relationIn(statement.node['relation'], schema));

/** Whether the texts of clients in pg_stat_statements have the name as a word of their own. */
export const namedByClients = ({ clientStatements }: SchemaFacts, name: string): number =>
  (clientStatements ?? []).filter((text) =>
    text
      .toLowerCase()
      .split(/[^\p{L}\p{N}_$]+/u)
      .includes(name.toLowerCase()),
  ).length;
