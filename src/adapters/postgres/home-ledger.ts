import type { Database } from './database.ts';
/** The home ledger (under construction). */
export class HomeLedger {
  readonly database: Database;
  constructor(database: Database) {
    this.database = database;
  }
}
