import { type Identity, type Ledger, within } from './ledger.ts';
import type { Path } from './stage.ts';

/**
 * Keys whose write reached one side only, in the home ledger: which side lacks it and what kind of error there was, never
 * a value. One line for each key that nobody has taken up yet: more failures of the same key join it. A key under
 * repair gets a line of its own, so that a failure during the repair is repaired after it.
 */
export class RepairQueue {
  readonly #ledger: Ledger;
  readonly #of: Identity;
  readonly #timeoutMs: number;

  constructor(ledger: Ledger, of: Identity, timeoutMs: number) {
    this.#ledger = ledger;
    this.#of = of;
    this.#timeoutMs = timeoutMs;
  }

  /** Resolves when the ledger has it. */
  async add(key: string, lacking: Path, errorClass: string): Promise<void> {
    await this.#query(
      `INSERT INTO switchback.repairs AS r (environment, flag, key, side, error_class) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (environment, flag, side, key) WHERE attempts = 0 AND NOT journal
       DO UPDATE SET failures = r.failures + 1, error_class = excluded.error_class,
         not_before = clock_timestamp(), last_failed_at = clock_timestamp()`,
      [this.#of.environment, this.#of.flag, key, lacking, errorClass],
    );
  }

  /** Notes a write before it is made: due only when it should long have ended. Answers the line's number. */
  async announce(key: string, lacking: Path): Promise<string> {
    const [row] = await this.#query(
      `INSERT INTO switchback.repairs (environment, flag, key, side, error_class, journal, not_before)
       VALUES ($1, $2, $3, $4, 'unfinished', true, clock_timestamp() + interval '1 minute') RETURNING id::text AS id`,
      [this.#of.environment, this.#of.flag, key, lacking],
    );
    return String(row?.['id']);
  }

  async withdraw(id: string): Promise<void> {
    await this.#query('DELETE FROM switchback.repairs WHERE id = $1::bigint', [id]);
  }

  /** The announced write has failed on its second side. */
  async dueNow(id: string, errorClass: string): Promise<void> {
    await this.#query(
      'UPDATE switchback.repairs SET not_before = clock_timestamp(), last_failed_at = clock_timestamp(), error_class = $2 WHERE id = $1::bigint',
      [id, errorClass],
    );
  }

  async #query(sql: string, values: unknown[]): Promise<Record<string, unknown>[]> {
    const { rows } = await within(this.#timeoutMs, this.#ledger.query(sql, values));
    return rows;
  }
}
