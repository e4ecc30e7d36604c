/** A table that holds personal data, as a label names it. What is left out may be anything. */
export interface LabelledTable {
  database: string | null;
  schema: string | null;
  table: string;
}
/** What `metadata.labels.pii` says: every table of the plan, or these. */
export type PiiLabel = 'all' | readonly LabelledTable[];

/** The key of the label in a plan, and the label itself in the configuration. */
export const PII = 'pii';
export const PII_LABEL_FORMS =
  '"true" for every table, or tables such as "users, crm.contacts, billing-db/customers" (a name with other characters in double quotes)';

const NAME = String.raw`"(?:[^"]|"")+"|[^\s",./]+`;
const TABLE = new RegExp(`^(?:(${NAME})\\.)?(${NAME})$`);
const ENTRY = new RegExp(`^(?:([a-z0-9-]+)/)?(.+)$`, 's');
/** Commas that don't stand in a quoted name. */
const BETWEEN_ENTRIES = /,(?=(?:[^"]*"[^"]*")*[^"]*$)/;

/** `users` or `schema.table`, as the catalog has them; null where it is neither. */
export function labelledTable(text: string): LabelledTable | null {
  const match = TABLE.exec(text);
  if (match?.[2] === undefined) return null;
  return { database: null, schema: match[1] === undefined ? null : unquoted(match[1]), table: unquoted(match[2]) };
}

/** The same with a database before it: `billing-db/customers`. */
export function tableWithDatabase(text: string): LabelledTable | null {
  const [, database = null, name = ''] = ENTRY.exec(text.trim()) ?? [];
  const table = labelledTable(name);
  return table === null ? null : { ...table, database };
}

/** Reads the value of `metadata.labels.pii`; null where it can't be read. */
export function readPiiLabel(text: string): PiiLabel | null {
  if (text.trim() === 'true') return 'all';
  const tables = text
    .split(BETWEEN_ENTRIES)
    .map((entry) => (RESERVED.includes(entry.trim().toLowerCase()) ? null : tableWithDatabase(entry)));
  return tables.every((table) => table !== null) ? tables : null;
}
/** Whoever writes these means no table. */
const RESERVED = ['true', 'false', 'yes', 'no', 'all', 'none'];

export const isLabelled = (label: LabelledTable, of: { database: string; schema: string; table: string }): boolean =>
  label.table === of.table &&
  (label.schema === null || label.schema === of.schema) &&
  (label.database === null || label.database === of.database);

const unquoted = (name: string): string => (name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name);
