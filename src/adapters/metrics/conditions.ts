import { SwitchbackError } from '../../messages/index.ts';
import { type Condition, durationMs } from '../../plan/index.ts';
import { type ConditionReading, compare, hasBounds, isTrue, noValue } from './bounds.ts';
import { type ReadUsage, readFlagUsage } from './flag-usage.ts';
import { readHttp } from './http-condition.ts';
import { readPrometheus } from './prometheus.ts';

export type { ConditionReading } from './bounds.ts';

/**
 * What conditions need of the databases, as a port: adapters don't know each other. All of it is read-only and
 * limited in time; errors are `SwitchbackError`s with `retry` where another look may help.
 */
export interface ConditionPorts {
  /** Runs one statement; rows of text, columns in order. */
  query(database: string, sql: string, values: readonly string[]): Promise<Record<string, string | null>[]>;
  /** Lag of each replica in milliseconds, in the order of the configuration. Throws where one doesn't answer. */
  replicaLagMs(database: string): Promise<number[]>;
  /** The digest of a schema's, or one table's, logical catalog. */
  catalogDigest(database: string, of: { schema: string; table: string | null }): Promise<string>;
  prometheusUrl: string | null;
  /** What clients have reported of a flag; null where the configuration has no `unleash:`. */
  flagUsage: ReadUsage | null;
}

/**
 * Reads conditions of a plan, all kinds, one at a time. A reading says what was found. What can't be found out is
 * thrown, never taken for health: `MetricsUnreachable`, `DatabaseUnreachable`, `StatementFailed` and the like.
 */
export class Conditions {
  readonly #ports: ConditionPorts;
  constructor(ports: ConditionPorts) {
    this.#ports = ports;
  }

  async read(condition: Condition, signal: AbortSignal): Promise<ConditionReading> {
    signal.throwIfAborted();
    if (condition.sql) return this.#readSql(condition.sql);
    if (condition.http) return readHttp(condition.http, signal);
    if (condition.prometheus) return readPrometheus(this.#ports.prometheusUrl, condition.prometheus, signal);
    if (condition.catalog) return this.#readCatalog(condition.catalog);
    if (condition.replicaLag) return this.#readReplicaLag(condition.replicaLag);
    if (condition.longTransactions) return this.#readLongTransactions(condition.longTransactions);
    if (condition.flagUsage) return this.#readFlagUsage(condition.flagUsage, signal);
    throw new SwitchbackError(
      'Unsupported',
      `condition "${condition.name}": \`compatible\` has no engine in this version`,
      {
        hint: 'use sql, http, prometheus, flagUsage, catalog, replicaLag or longTransactions',
      },
    );
  }

  #readFlagUsage(source: NonNullable<Condition['flagUsage']>, signal: AbortSignal): Promise<ConditionReading> {
    const read = this.#ports.flagUsage;
    if (read !== null) return readFlagUsage(source, read, signal);
    throw new SwitchbackError(
      'ConfigInvalid',
      'the plan asks how a flag is used, but the configuration has no `unleash:`',
      {
        hint: 'add unleash.url and unleash.adminToken to the configuration of the worker',
      },
    );
  }

  async #readSql(source: NonNullable<Condition['sql']>): Promise<ConditionReading> {
    const rows = await this.#ports.query(source.database, source.query, []);
    const [row] = rows;
    if (row === undefined) return noValue('the query gives no row');
    const columns = Object.keys(row).length;
    if (rows.length > 1 || columns !== 1) {
      const shape = `${rows.length} rows of ${columns} columns`;
      throw new SwitchbackError('StatementFailed', `${source.database}: a condition's query gives ${shape}`, {
        hint: 'write a query that gives one row of one column, such as select count(*)',
        fields: { database: source.database },
      });
    }
    const value = Object.values(row)[0] ?? null;
    if (hasBounds(source)) return compare(value, source);
    return isTrue(value)
      ? { holds: true, observed: null, reason: 'the query gives true' }
      : noValue("the query doesn't give true; without max, min and equals it must");
  }

  async #readCatalog(source: NonNullable<Condition['catalog']>): Promise<ConditionReading> {
    const { database, schema, table, column } = source;
    if (source.digest !== undefined) {
      const digest = await this.#ports.catalogDigest(database, { schema, table: table ?? null });
      return digest === source.digest
        ? { holds: true, observed: null, reason: `the catalog has the digest ${digest}` }
        : noValue(`the catalog has the digest ${digest}, not ${source.digest}`);
    }
    const name = [schema, table, column].filter((part) => part !== undefined).join('.');
    const [row] = await this.#ports.query(database, EXISTS, [schema, table ?? '', column ?? '']);
    const exists = row?.['found'] === 'true';
    const says = `${name} ${exists ? 'exists' : "doesn't exist"} in ${database}`;
    return exists === source.exists ? { holds: true, observed: null, reason: says } : noValue(says);
  }

  async #readReplicaLag(source: NonNullable<Condition['replicaLag']>): Promise<ConditionReading> {
    const lags = await this.#ports.replicaLagMs(source.database);
    if (lags.length === 0) {
      throw new SwitchbackError(
        'ConfigInvalid',
        `the plan asks for the lag of replicas of "${source.database}", which has none`,
        {
          hint: `add databases.${source.database}.replicas to the configuration of the worker`,
          fields: { database: source.database },
        },
      );
    }
    const { holds, observed } = compare(Math.round(Math.max(...lags)), { max: durationMs(source.max) });
    return {
      holds,
      observed,
      reason: `the slowest replica is ${observed} ms behind; at most ${source.max} are allowed`,
    };
  }

  async #readLongTransactions(source: NonNullable<Condition['longTransactions']>): Promise<ConditionReading> {
    const [row] = await this.#ports.query(source.database, LONG_TRANSACTIONS, [String(durationMs(source.maxAge))]);
    if (row?.['hidden'] !== '0') {
      throw new SwitchbackError(
        'StatementFailed',
        `${source.database}: the worker's role may not see other sessions' transactions`,
        { hint: 'GRANT pg_read_all_stats to the role of the worker', fields: { database: source.database } },
      );
    }
    const reading = compare(row['old'] ?? null, { max: source.max });
    return { ...reading, reason: `transactions older than ${source.maxAge}: ${reading.reason}` };
  }
}

const EXISTS = `
  SELECT CASE
    WHEN $2 = '' THEN EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)
    WHEN $3 = '' THEN EXISTS (
      SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))
    ELSE EXISTS (
      SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND a.attnum > 0 AND NOT a.attisdropped)
  END::text AS found`;

/** What holds old snapshots: open transactions and prepared ones. Postgres hides sessions of others from small roles. */
const LONG_TRANSACTIONS = `
  SELECT
    (SELECT count(*) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND xact_start < clock_timestamp() - $1::double precision * interval '1 millisecond')
    + (SELECT count(*) FROM pg_prepared_xacts
        WHERE database = current_database()
          AND prepared < clock_timestamp() - $1::double precision * interval '1 millisecond') AS old,
    (SELECT count(*) FROM pg_stat_activity
      WHERE datname = current_database() AND query = '<insufficient privilege>') AS hidden`;
