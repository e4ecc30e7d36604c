import pg from 'pg';
import { SwitchbackError } from '../../messages/index.ts';
import { type LabelledTable, labelledTable } from '../../plan/pii-label.ts';
import { databaseError } from './database-error.ts';

/**
 * One target database. Owns its pools; callers own what they do in `transaction` and `session`.
 *
 * Every value comes back as Postgres's text (`string | null`): keys and values never pass JavaScript's parsers, which
 * would lose bigints in jsonb and microseconds in dates. What needs a number casts it itself.
 */
export type Row = Record<string, string | null>;
export type Value = string | number | boolean | null | readonly (string | null)[];

export interface Queryable {
  query(sql: string, values?: readonly Value[]): Promise<Row[]>;
}
export interface DatabaseUrls {
  url: string;
  directUrl?: string | undefined;
  replicas?: readonly string[] | undefined;
  /** How large it may grow on its disk, in bytes; left out where nobody has said. */
  room?: number | undefined;
  /** Rows a second that all long steps in it may change and compare together; left out where nobody has said. */
  throttle?: { maxRowsPerSecond?: number | undefined } | undefined;
  /** Labels of tables (`table` or `schema.table`): the one there is, `pii`, is for those that hold personal data. */
  labels?: Readonly<Record<string, readonly string[]>> | undefined;
}

const CONNECT_TIMEOUT_MS = 5_000;
const POOL_CONNECTIONS_MAX = 10;
/** What text means in a session of ours, and in trigger functions whose expressions depend on it. */
export const TEXT_SETTINGS: Readonly<Record<string, string>> = {
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '1',
  bytea_output: 'hex',
  quote_all_identifiers: 'off',
  standard_conforming_strings: 'on',
};
/** Fixed settings, so that text means the same in every session; `row_security = off` turns a filter into an error. */
const SETTINGS: Readonly<Record<string, string>> = {
  row_security: 'off',
  search_path: 'pg_catalog',
  ...TEXT_SETTINGS,
  statement_timeout: '0',
  default_transaction_read_only: 'off',
  // A chunk must see rows as they are when it changes them, whatever the database or role is set to.
  default_transaction_isolation: 'read committed',
};
/**
 * What a role may have been given to keep its clients short. Our locks have limits of their own, and a session of ours
 * rests while others hold what it waits for. Not asked for where a pooler drops them: they cost a retry, not a row.
 */
const NO_LIMITS: Readonly<Record<string, string>> = {
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
};
/** The same, of Postgres 17 and later: older ones refuse a connection that names it, so it is set in the session. */
const NO_TRANSACTION_TIMEOUT = `CASE WHEN current_setting('server_version_num')::int >= 170000
  THEN set_config('transaction_timeout', '0', false) END`;
const SESSION_SETTINGS = Object.entries({ ...NO_LIMITS, ...SETTINGS })
  .map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`)
  .join(' ');
const asText = { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig;

class Session implements Queryable {
  readonly #client: pg.ClientBase;
  readonly #name: string;
  constructor(client: pg.ClientBase, name: string) {
    this.#client = client;
    this.#name = name;
  }
  async query(sql: string, values: readonly Value[] = []): Promise<Row[]> {
    try {
      // Without values the simple protocol is used, which takes several statements; then the last one's rows count.
      const result = await this.#client.query<Row>(
        values.length === 0 ? { text: sql } : { text: sql, values: [...values] },
      );
      return (Array.isArray(result) ? (result.at(-1) as pg.QueryResult<Row>) : result).rows;
    } catch (error) {
      throw databaseError(error, this.#name);
    }
  }
  /** One statement: Postgres refuses a text that holds more. */
  async single(sql: string, values: readonly Value[]): Promise<Row[]> {
    // The types of `pg` don't know `queryMode` yet.
    const statement: pg.QueryConfig & { queryMode: 'extended' } = {
      text: sql,
      values: [...values],
      queryMode: 'extended',
    };
    try {
      const { rows, fields } = await this.#client.query<Row>(statement);
      if (new Set(fields.map((field) => field.name)).size === fields.length) return rows;
    } catch (error) {
      throw databaseError(error, this.#name, { readOnly: true });
    }
    throw new SwitchbackError('StatementFailed', `${this.#name}: two columns of a query have the same name`, {
      hint: 'name its columns apart, or write a query of one column',
      fields: { database: this.#name },
    });
  }
}

export class Database implements Queryable {
  readonly name: string;
  readonly replicas: readonly string[];
  readonly room: number | null;
  /** Of all long steps in it together. */
  readonly rowsPerSecond: number | null;
  /** Tables that hold personal data, as the configuration labels them. */
  readonly personal: readonly LabelledTable[];
  readonly #urls: DatabaseUrls;
  readonly #pool: pg.Pool;
  /** Pooled connections that have no limit on their transactions. */
  readonly #unlimited = new WeakSet<pg.PoolClient>();

  constructor(name: string, urls: DatabaseUrls) {
    this.name = name;
    this.#urls = urls;
    this.replicas = urls.replicas ?? [];
    this.room = urls.room ?? null;
    this.rowsPerSecond = urls.throttle?.maxRowsPerSecond ?? null;
    this.personal = Object.keys(urls.labels ?? {}).flatMap((table) => labelledTable(table) ?? []);
    this.#pool = new pg.Pool({ ...this.#connection(urls.url), max: POOL_CONNECTIONS_MAX, idleTimeoutMillis: 30_000 });
    // An idle connection that dies is replaced at the next use; without a listener it would end the process.
    this.#pool.on('error', () => undefined);
  }

  #connection(url: string): pg.ClientConfig {
    // What a URL says counts more than a field with `pg`: its `options` would take the place of ours.
    const [address = '', query = ''] = url.split('?', 2);
    const parameters = new URLSearchParams(query);
    const options = parameters.get('options');
    parameters.delete('options');
    const connectionString = parameters.size === 0 ? address : `${address}?${parameters.toString()}`;
    return {
      connectionString,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      application_name: 'switchback',
      // Ours come last and so win; a host's own, such as the name of its endpoint, stay.
      options: options === null ? SESSION_SETTINGS : `${options} ${SESSION_SETTINGS}`,
      types: asText,
      keepAlive: true,
    };
  }

  /** Where it is, without credentials: `postgres://host:port` and the name that it has there. */
  get place(): { namespace: string; database: string } {
    const { host, port, database } = new pg.Client({ connectionString: this.#urls.url });
    return { namespace: `postgres://${host.startsWith('/') ? 'localhost' : host}:${port}`, database: database ?? '' };
  }

  async query(sql: string, values: readonly Value[] = []): Promise<Row[]> {
    return this.#withPooled((session) => session.query(sql, values));
  }

  /** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
  async transaction<T>(work: (session: Queryable) => Promise<T>): Promise<T> {
    return this.#withPooled((session) => inTransaction(session, work));
  }

  /**
   * Runs one statement of a plan's author, read-only: in a transaction that can't write, with a time limit, and by the
   * protocol that takes a single statement, so that it can't end that transaction. `public` is on its search path.
   */
  async readOnly(sql: string, options: { timeoutMs: number; values?: readonly Value[] }): Promise<Row[]> {
    return this.#withPooled((session) =>
      inTransaction(session, async () => {
        await session.query(
          `SET TRANSACTION READ ONLY; SET LOCAL search_path = pg_catalog, public; SET LOCAL statement_timeout = ${Math.ceil(options.timeoutMs)}`,
        );
        return session.single(sql, options.values ?? []);
      }),
    );
  }

  /**
   * Runs `work` on a connection of its own, past a pooler where `directUrl` is configured. For DDL, CALL and
   * CONCURRENTLY. The connection is closed afterwards, whatever happened; `signal` cancels what runs there.
   */
  async session<T>(
    work: (
      session: Queryable & {
        pid: string;
        /** Whether a pooler stands between, so that another backend may get the next statement. */
        shared: boolean;
        transaction<U>(work: (session: Queryable) => Promise<U>): Promise<U>;
      },
    ) => Promise<T>,
    options: { onNotice?: (message: string) => void } = {},
  ): Promise<T> {
    const client = new pg.Client(this.#connection(this.#urls.directUrl ?? this.#urls.url));
    client.on('error', () => undefined);
    if (options.onNotice) client.on('notice', (notice) => options.onNotice?.(notice.message ?? ''));
    try {
      await client.connect();
    } catch (error) {
      throw databaseError(error, this.name);
    }
    try {
      const session = new Session(client, this.name);
      const [row] = await session.query(`SELECT pg_backend_pid()::text AS pid, ${NO_TRANSACTION_TIMEOUT}`);
      return await work({
        query: (sql, values) => session.query(sql, values),
        pid: String(row?.['pid']),
        // A pooler gives a key of its own to cancel by, with another pid than the backend's.
        shared: this.#urls.directUrl === undefined && row?.['pid'] !== String(processId(client)),
        transaction: (inner) => inTransaction(session, inner),
      });
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  async #withPooled<T>(work: (session: Session) => Promise<T>): Promise<T> {
    let client: pg.PoolClient;
    try {
      client = await this.#pool.connect();
    } catch (error) {
      throw databaseError(error, this.name);
    }
    let broken = false;
    // The pool listens only while the connection is idle: one that dies between two statements would end the process.
    const died = (): void => {
      broken = true;
    };
    client.on('error', died);
    try {
      const session = new Session(client, this.name);
      if (!this.#unlimited.has(client)) await session.query(`SELECT ${NO_TRANSACTION_TIMEOUT}`);
      this.#unlimited.add(client);
      return await work(session);
    } catch (error) {
      broken ||= error instanceof SwitchbackError && error.code === 'DatabaseUnreachable';
      throw error;
    } finally {
      client.off('error', died);
      client.release(broken);
    }
  }
}

/** The pid that came with the key to cancel by; the types of `pg` don't know it. */
const processId = (client: pg.Client): number | null =>
  (client as unknown as { processID?: number | null }).processID ?? null;

/** A pooler may drop what we ask for at the start of a session: then nothing that we read or write can be trusted. */
export async function assertSettings(session: Queryable, database: string): Promise<void> {
  const names = Object.keys(SETTINGS);
  const rows = await session.query('SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS n (name)', [
    names,
  ]);
  const wrong = rows.filter((row) => row['value'] !== SETTINGS[row['name'] ?? '']).map((row) => row['name'] ?? '');
  if (wrong.length === 0) return;
  throw new SwitchbackError(
    'Unsupported',
    `the sessions of database "${database}" don't have our settings: ${wrong.join(', ')}; a pooler drops them`,
    {
      hint: `set them for the worker's role: ${wrong.map((name) => `ALTER ROLE … SET ${name} = '${SETTINGS[name]}'`).join('; ')}`,
      fields: { database, settings: wrong.join(',') },
    },
  );
}

async function inTransaction<T>(session: Queryable, work: (session: Queryable) => Promise<T>): Promise<T> {
  await session.query('BEGIN');
  try {
    const result = await work(session);
    await session.query('COMMIT');
    return result;
  } catch (error) {
    await session.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** The target databases by the names that plans use. */
export class Databases {
  readonly #byName: ReadonlyMap<string, Database>;
  constructor(urls: Readonly<Record<string, DatabaseUrls>>) {
    this.#byName = new Map(Object.entries(urls).map(([name, of]) => [name, new Database(name, of)]));
  }
  get names(): string[] {
    return [...this.#byName.keys()];
  }
  get(name: string): Database {
    const database = this.#byName.get(name);
    if (database === undefined) {
      throw new SwitchbackError('UnknownDatabase', `the plan names database "${name}", which the worker doesn't know`, {
        hint: `add it under \`databases:\` in the worker's configuration; there are: ${this.names.join(', ') || 'none'}`,
        fields: { database: name },
      });
    }
    return database;
  }
  async close(): Promise<void> {
    await Promise.all([...this.#byName.values()].map((database) => database.close()));
  }
}
