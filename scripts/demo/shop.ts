import { Database } from '../../src/adapters/postgres/database.ts';
import { type CatalogSnapshot, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import type { DevFile } from '../../src/dev/dev-file.ts';
import { createFlag, type FlagView, flagState, type UnleashAdmin } from './flag-state.ts';
import { Journal } from './journal.ts';
import { Latencies } from './latency.ts';
import { openLedger } from './ledger-access.ts';
import { NameService } from './name-service.ts';
import { createServiceTable, SERVICE_TABLES } from './service-tables.ts';
import { Traffic } from './traffic.ts';

/** From this exposure on, one read in three of what `--break` ships fails. */
const FAILS_FROM_PERCENT = 25;

/** What the demo's services look like from outside: what a rollback must bring back. */
export interface Surroundings {
  catalogs: Record<string, CatalogSnapshot>;
  flag: FlagView | null;
}

/** The three services with their databases, their flag and the traffic on them. */
export class Shop {
  readonly #urls: Readonly<Record<string, string>>;
  readonly admin: UnleashAdmin;
  readonly journal: Journal;
  readonly latencies = new Latencies();
  readonly traffic: Traffic;
  readonly services: readonly NameService[];

  private constructor(dev: DevFile, services: readonly NameService[], users: number) {
    const [accounts, billing, search] = services as [NameService, NameService, NameService];
    this.#urls = dev.databases;
    this.admin = unleashOf(dev);
    this.journal = new Journal(users);
    this.traffic = new Traffic({ accounts, billing, search }, this.journal, this.latencies, users);
    this.services = services;
  }

  /** Fills the databases, creates the flag and starts the services; no traffic yet. */
  static async open(dev: DevFile, options: { users: number; breaks: boolean }): Promise<Shop> {
    await Promise.all(
      SERVICE_TABLES.map((of) => createServiceTable(of, urlOf(dev.databases, of.database), options.users)),
    );
    const unleash = unleashOf(dev);
    await createFlag(unleash);
    const ledgerUrl = await openLedger(dev);
    const services = SERVICE_TABLES.map(
      (of) =>
        new NameService({
          of,
          databaseUrl: urlOf(dev.databases, of.database),
          ledgerUrl,
          unleash,
          failsFromPercent: options.breaks ? FAILS_FROM_PERCENT : null,
        }),
    );
    return new Shop(dev, services, options.users);
  }

  url(database: string): string {
    return urlOf(this.#urls, database);
  }

  /** Schema and flag as they are now. */
  async look(): Promise<Surroundings> {
    const catalogs = await Promise.all(
      SERVICE_TABLES.map(async ({ database: name }) => {
        const database = new Database(name, { url: this.url(name) });
        try {
          return [name, await catalogSnapshot(database)] as const;
        } finally {
          await database.close();
        }
      }),
    );
    return { catalogs: Object.fromEntries(catalogs), flag: await flagState(this.admin) };
  }

  async close(): Promise<void> {
    await this.traffic.stop();
    await Promise.all(this.services.map((service) => service.stop()));
  }
}

function urlOf(urls: Readonly<Record<string, string>>, database: string): string {
  const url = urls[database];
  if (url === undefined) throw new Error(`the servers have no database ${database}`);
  return url;
}

function unleashOf(dev: DevFile): UnleashAdmin & { clientToken: string } {
  if (dev.unleash === null) throw new Error('the servers have no Unleash');
  return dev.unleash;
}
