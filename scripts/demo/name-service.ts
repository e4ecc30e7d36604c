import pg from 'pg';
import { InMemStorageProvider, Unleash } from 'unleash-client';
import { joinName, type SplitName, splitName } from './names.ts';
import type { ServiceTable } from './service-tables.ts';

export const FLAG = 'read-split-names';
export type Path = 'old' | 'new';
const FLAG_REFRESH_MS = 1_000;
const POOL_CONNECTIONS_MAX = 10;
const FLAGS_KNOWN_MAX_MS = 15_000;

export interface NameServiceOptions {
  of: ServiceTable;
  databaseUrl: string;
  unleash: { url: string; clientToken: string };
  /** From this exposure on, the new read path fails: the bug that `--break` ships. Null: there is none. */
  failsFromPercent: number | null;
}

/**
 * One service as a team would write it in the middle of a migration: it knows both shapes of the name and asks the
 * flag, user by user, which one to read and write. Owns its connection pool and its flag client.
 */
export class NameService {
  readonly of: ServiceTable;
  readonly #pool: pg.Pool;
  readonly #unleash: Unleash;
  readonly #failsFromPercent: number | null;
  readonly #sql: Record<'readOld' | 'readNew' | 'writeOld' | 'writeNew' | 'addOld' | 'addNew' | 'failed', string>;

  private constructor(options: NameServiceOptions, unleash: Unleash) {
    const { table, key, service } = options.of;
    this.of = options.of;
    this.#unleash = unleash;
    this.#failsFromPercent = options.failsFromPercent;
    this.#pool = new pg.Pool({
      connectionString: options.databaseUrl,
      max: POOL_CONNECTIONS_MAX,
      application_name: `demo-${service}`,
    });
    this.#pool.on('error', () => undefined);
    const own =
      service === 'accounts' ? { column: ', email', value: `, 'user' || $1::bigint || '@example.com'` } : null;
    const insert = (columns: string, values: string): string =>
      `INSERT INTO ${table} (${key}, ${columns}${own?.column ?? ''}) VALUES ($1::bigint, ${values}${own?.value ?? ''})`;
    this.#sql = {
      readOld: `SELECT full_name FROM ${table} WHERE ${key} = $1`,
      readNew: `SELECT given_name, family_name FROM ${table} WHERE ${key} = $1`,
      writeOld: `UPDATE ${table} SET full_name = $2 WHERE ${key} = $1`,
      writeNew: `UPDATE ${table} SET given_name = $2, family_name = $3 WHERE ${key} = $1`,
      addOld: insert('full_name', '$2'),
      addNew: insert('given_name, family_name', '$2, $3'),
      failed: 'INSERT INTO failed_requests (path, operation, error) VALUES ($1, $2, $3)',
    };
  }

  /** Connects and waits until the flag client has heard from Unleash. */
  static async start(options: NameServiceOptions): Promise<NameService> {
    const unleash = new Unleash({
      url: new URL('/api', options.unleash.url).href,
      appName: options.of.service,
      instanceId: `${options.of.service}-1`,
      customHeaders: { Authorization: options.unleash.clientToken },
      refreshInterval: FLAG_REFRESH_MS,
      storageProvider: new InMemStorageProvider(),
    });
    unleash.on('warn', () => undefined);
    await synchronized(unleash, options.of.service);
    return new NameService(options, unleash);
  }

  /** The path that the flag gives this user now. */
  pathOf(userId: number): Path {
    return this.#unleash.isEnabled(FLAG, { userId: String(userId) }) ? 'new' : 'old';
  }

  /** The user's name as the path has it. */
  async read(userId: number, path: Path): Promise<string | null> {
    if (path === 'old') {
      const { rows } = await this.#pool.query<{ full_name: string }>(this.#sql.readOld, [userId]);
      return rows[0]?.full_name ?? null;
    }
    this.#failWhereBroken();
    const { rows } = await this.#pool.query<{ given_name: string; family_name: string | null }>(this.#sql.readNew, [
      userId,
    ]);
    return rows[0] === undefined ? null : joinName({ given: rows[0].given_name, family: rows[0].family_name });
  }

  async rename(userId: number, fullName: string, path: Path): Promise<void> {
    const { rowCount } = await this.#write(this.#sql.writeOld, this.#sql.writeNew, userId, fullName, path);
    if (rowCount !== 1) throw new Error(`user ${userId} isn't there`);
  }

  async signUp(userId: number, fullName: string, path: Path): Promise<void> {
    await this.#write(this.#sql.addOld, this.#sql.addNew, userId, fullName, path);
  }

  /** Puts a failed request on record, where the plan's guards look. */
  async recordFailure(path: Path, operation: string, error: string): Promise<void> {
    await this.#pool.query(this.#sql.failed, [path, operation, error]);
  }

  async stop(): Promise<void> {
    this.#unleash.destroy();
    await this.#pool.end();
  }

  #write(old: string, split: string, userId: number, fullName: string, path: Path): Promise<pg.QueryResult> {
    const name: SplitName = splitName(fullName);
    return path === 'old'
      ? this.#pool.query(old, [userId, fullName])
      : this.#pool.query(split, [userId, name.given, name.family]);
  }

  #failWhereBroken(): void {
    if (this.#failsFromPercent === null) return;
    const strategies = this.#unleash.getFeatureToggleDefinition(FLAG)?.strategies ?? [];
    const percent = Math.max(0, ...strategies.map((strategy) => Number(strategy.parameters?.['rollout'] ?? 0)));
    if (percent >= this.#failsFromPercent) throw new Error('the cache of split names is full');
  }
}

/** Waits for the first answer of Unleash; until then every flag would be off. */
async function synchronized(unleash: Unleash, service: string): Promise<void> {
  let last = 'no answer';
  unleash.on('error', (error: Error) => {
    last = error.message;
  });
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    unleash.destroy();
    late.reject(new Error(`${service} doesn't get its flags from Unleash: ${last}`));
  }, FLAGS_KNOWN_MAX_MS);
  await Promise.race([new Promise<void>((resolve) => unleash.once('synchronized', resolve)), late.promise]);
  clearTimeout(timer);
}
