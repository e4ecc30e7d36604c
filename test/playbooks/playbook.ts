import type { Random } from '../engine/chaos-traffic.ts';

/** What a client knows of one thing, as Postgres's texts; without its key. */
export type Row = Readonly<Record<string, string | null>>;
export type Query = (sql: string, values?: readonly (string | null)[]) => Promise<Row[]>;

/** One version of a service's code: how it reads and writes the things that the migration is about. */
export interface Client {
  /** Gives one row a thing: `id`, and the columns that this version of the code sees. */
  select: string;
  /** What its next write makes of a thing (of a new one: null), seen whole. */
  next(before: Row | null, random: Random): Row;
  /** Answers the new thing's key. */
  add(query: Query, row: Row): Promise<string>;
  change(query: Query, id: string, row: Row, before: Row): Promise<void>;
  remove(query: Query, id: string): Promise<void>;
}

/** A playbook of examples/ as its test knows it. */
export interface Playbook {
  /** Of its folder in examples/ and of the plan. */
  name: string;
  /** Rules that `check` warns of, as docs/playbooks.md says. */
  warnings: readonly string[];
  old: Client;
  new: Client;
  /** What old clients see of a thing; all of it unless said otherwise. */
  oldForm?(row: Row): Row;
  /** A thing that only old clients have written, seen whole. */
  fromOld?(seen: Row): Row;
  /** Its service has the switch of src/switch; else it asks unleash-client itself. */
  switched?: true;
  /** What trips a guard when new code has served some requests; else the run is aborted at the last moment. */
  breach?: string;
  /** What is done before the last requests, when the run has ended. */
  lately?: Partial<Record<'up' | 'back', string>>;
  /** What else must be true at the end: a query that gives `t`. */
  proofs?: Partial<Record<'up' | 'back', string>>;
}

/** A client of one table whose columns are what it sees. Columns may have another name in the table. */
export function tableClient(
  table: string,
  columns: Readonly<Record<string, string>>,
  next: Client['next'],
  id = 'id',
): Client {
  const seen = Object.keys(columns);
  const names = Object.values(columns);
  const numbered = (from: number): string[] => names.map((_, at) => `$${at + from}`);
  const values = (row: Row): (string | null)[] => seen.map((name) => row[name] ?? null);
  return {
    select: `SELECT ${id} AS id, ${seen.map((name) => `${columns[name]} AS ${name}`).join(', ')} FROM ${table}`,
    next,
    async add(query, row) {
      const added = await query(
        `INSERT INTO ${table} (${names.join(', ')}) VALUES (${numbered(1).join(', ')}) RETURNING ${id} AS id`,
        values(row),
      );
      return added[0]?.['id'] ?? '';
    },
    async change(query, key, row, before) {
      const changed = seen.filter((name) => row[name] !== before[name]);
      if (changed.length === 0) return;
      const sets = changed.map((name, at) => `${columns[name]} = $${at + 2}`);
      await query(`UPDATE ${table} SET ${sets.join(', ')} WHERE ${id} = $1`, [
        key,
        ...changed.map((name) => row[name] ?? null),
      ]);
    },
    async remove(query, key) {
      await query(`DELETE FROM ${table} WHERE ${id} = $1`, [key]);
    },
  };
}

/** One of several, at random. */
export function pick<T>(random: Random, among: readonly T[]): T {
  return among[Math.floor(random() * among.length)] as T;
}
