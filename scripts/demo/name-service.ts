import pg from 'pg';
import { InMemStorageProvider, Unleash } from 'unleash-client';
import { createSwitch, exposureOf, type ReadWriteSwitch, type SwitchStatus } from '../../src/switch/index.ts';
import { inOneColumn, inTwoColumns, type NamePath, type WriteKind } from './name-paths.ts';
import type { ServiceTable } from './service-tables.ts';

export const FLAG = 'read-split-names';
/** Short, because people watch the demo: flag clients refresh every 15 s, and switches speak every 5 s, by default. */
const FLAG_REFRESH_MS = 1_000;
const SWITCH_BEAT_MS = 1_000;

export interface NameServiceOptions {
  of: ServiceTable;
  databaseUrl: string;
  /** The home ledger, as the services' role may see it. */
  ledgerUrl: string;
  unleash: { url: string; clientToken: string };
  /** From this exposure on, some reads of the new path fail: the bug that `--break` ships. Null: there is none. */
  failsFromPercent: number | null;
}

/**
 * One service as a team would write it in the middle of a migration: it knows both shapes of the name, and its switch
 * says, user by user, which one to read and write. Owns its connections and its flag client.
 */
export class NameService {
  readonly of: ServiceTable;
  readonly #database: pg.Pool;
  readonly #ledger: pg.Pool;
  readonly #unleash: Unleash;
  readonly #names: ReadWriteSwitch<[number], string | null, [number, string, WriteKind], void>;
  /** When the last request ended that went to the new path, in ms since 1970; null: none has. */
  lastOnNewPathAt: number | null = null;

  constructor({ of, databaseUrl, ledgerUrl, unleash, failsFromPercent }: NameServiceOptions) {
    this.of = of;
    this.#database = poolOf(databaseUrl, of, 10);
    this.#ledger = poolOf(ledgerUrl, of, 2);
    this.#unleash = new Unleash({
      url: new URL('/api', unleash.url).href,
      appName: of.service,
      customHeaders: { Authorization: unleash.clientToken },
      refreshInterval: FLAG_REFRESH_MS,
      storageProvider: new InMemStorageProvider(),
    });
    // It goes on with its last copy of the flags; an instance that has none lets nobody onto the new path.
    for (const event of ['warn', 'error']) this.#unleash.on(event, () => undefined);
    this.#names = createSwitch({
      flag: FLAG,
      old: this.#onRecord('old', inOneColumn(this.#database, of)),
      new: this.#onRecord('new', this.#withBug(inTwoColumns(this.#database, of), failsFromPercent)),
      key: (userId) => userId,
      // Triggers keep both shapes in step: whoever is let in reads and writes the new one alone.
      on: 'complete',
      unleash: this.#unleash,
      ledger: this.#ledger,
      service: of.service,
      beatMs: SWITCH_BEAT_MS,
    });
  }

  /** What its switch acts on, and what it has counted. */
  get status(): SwitchStatus {
    return this.#names.status();
  }

  read(userId: number): Promise<string | null> {
    return this.#names.read(userId);
  }

  write(userId: number, fullName: string, kind: WriteKind): Promise<void> {
    return this.#names.write(userId, fullName, kind);
  }

  async stop(): Promise<void> {
    await this.#names.close();
    this.#unleash.destroy();
    await Promise.all([this.#database.end(), this.#ledger.end()]);
  }

  /** The path, with its failures in a table of the service, where the plan's guards look. */
  #onRecord(name: 'old' | 'new', path: NamePath): NamePath {
    const noted = async <T>(operation: string, request: Promise<T>): Promise<T> => {
      try {
        return await request;
      } catch (error) {
        const values = [name, operation, error instanceof Error ? error.message : String(error)];
        const noting = 'INSERT INTO failed_requests (path, operation, error) VALUES ($1, $2, $3)';
        await this.#database.query(noting, values).catch(() => undefined);
        throw error;
      } finally {
        if (name === 'new') this.lastOnNewPathAt = Date.now();
      }
    };
    return {
      read: (userId) => noted('read', path.read(userId)),
      write: (userId, fullName, kind) => noted(kind, path.write(userId, fullName, kind)),
    };
  }

  #withBug({ read, write }: NamePath, fromPercent: number | null): NamePath {
    const isFull = (): boolean =>
      fromPercent !== null && exposureOf(this.#unleash.getFeatureToggleDefinition(FLAG)) >= fromPercent;
    return {
      read: async (userId) => {
        if (userId % 3 === 0 && isFull()) throw new Error('the cache of split names is full');
        return read(userId);
      },
      write,
    };
  }
}

function poolOf(connectionString: string, { service }: ServiceTable, max: number): pg.Pool {
  const pool = new pg.Pool({ connectionString, max, application_name: `demo-${service}` });
  pool.on('error', () => undefined);
  return pool;
}
