/** Quotes an identifier of Postgres. The only place that does: a name never reaches SQL in another way. */
export const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** A table's qualified, quoted name. */
export const quoteTable = (schema: string, table: string): string =>
  `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;

/** Quotes a string as a literal. For DDL only, which takes no parameters; everywhere else values are parameters. */
export const quoteLiteral = (text: string): string =>
  text.includes('\\')
    ? ` E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
    : `'${text.replaceAll("'", "''")}'`;
