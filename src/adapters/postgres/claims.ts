import { type RunRef, SwitchbackError } from '../../messages/index.ts';
import type { Database } from './database.ts';

/**
 * Claims on tables, in the home ledger: a migration claims all tables that it touches, all or none, so that two never
 * change the same table at once. They are taken in one order (database, schema, table), so that nobody deadlocks.
 */
export interface TableClaim {
  database: string;
  schema: string;
  table: string;
}
export interface ClaimHolder extends TableClaim {
  migration: string;
}

export class Claims {
  readonly #home: Database;
  constructor(home: Database) {
    this.#home = home;
  }

  /**
   * Takes all claims or none; answers with those that others hold (empty: obtained). Throws `Fenced` where the run is
   * over or another one came since: nobody would free what it takes.
   */
  async take(run: RunRef, tables: readonly TableClaim[]): Promise<ClaimHolder[]> {
    const held = new Error('not all claims are free');
    let holders: ClaimHolder[] = [];
    try {
      await this.#home.transaction(async (session) => {
        const [row] = await session.query(
          `SELECT 1 FROM switchback.migrations WHERE migration = $1 AND generation = $2 AND state = 'running' FOR SHARE`,
          [run.migration, run.generation],
        );
        if (row === undefined) throw fenced(run);
        for (const claim of tables) {
          await session.query(
            `INSERT INTO switchback.claims (database, schema, "table", migration) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
            [claim.database, claim.schema, claim.table, run.migration],
          );
        }
        const rows = await session.query(
          `SELECT c.database, c.schema, c."table", c.migration FROM switchback.claims c
           JOIN unnest($1::text[], $2::text[], $3::text[]) AS wanted (database, schema, "table")
             ON (c.database, c.schema, c."table") = (wanted.database, wanted.schema, wanted."table")
           WHERE c.migration <> $4 ORDER BY 1, 2, 3`,
          [tables.map((t) => t.database), tables.map((t) => t.schema), tables.map((t) => t.table), run.migration],
        );
        holders = rows as unknown as ClaimHolder[];
        if (holders.length > 0) throw held;
      });
    } catch (error) {
      if (error !== held) throw error;
    }
    return holders;
  }

  /** The databases in which a migration holds tables, in order. */
  async databasesOf(migration: string): Promise<string[]> {
    const rows = await this.#home.query(
      'SELECT DISTINCT database FROM switchback.claims WHERE migration = $1 ORDER BY database',
      [migration],
    );
    return rows.map((row) => row['database'] ?? '');
  }

  /** Frees what a migration holds; answers with what that was. */
  async release(migration: string): Promise<TableClaim[]> {
    return (await this.#home.query(
      'DELETE FROM switchback.claims WHERE migration = $1 RETURNING database, schema, "table"',
      [migration],
    )) as unknown as TableClaim[];
  }
}

const fenced = (run: RunRef): SwitchbackError =>
  new SwitchbackError('Fenced', `generation ${run.generation} of migration "${run.migration}" is over`, {
    fields: { migration: run.migration, generation: run.generation },
  });
