/** A version of an interface that a migration has deprecated. Instants are in UTC: `2026-12-01T00:00:00Z`. */
export interface RecordedDeprecation {
  /** The migration that says so, and its step. */
  migration: string;
  step: string;
  interface: string;
  version: string;
  /** Since when it is deprecated. */
  at: string;
  /** When it may go away. */
  sunset: string;
  link: string | null;
}
