import type { Logger } from 'pino';
import type { Conditions } from '../adapters/metrics/conditions.ts';
import type { Metrics } from '../adapters/metrics/metrics.ts';
import type { Databases } from '../adapters/postgres/database.ts';
import type { HomeLedger } from '../adapters/postgres/home-ledger.ts';
import type { Unleash } from '../adapters/unleash/unleash.ts';
import type { Notices } from './notices.ts';

/** Everything the activities need from outside, made once by the worker; tests swap parts here. */
export interface Deps {
  readonly databases: Databases;
  readonly home: HomeLedger;
  /** Null where the configuration has no `unleash:`. */
  readonly unleash: Unleash | null;
  readonly conditions: Conditions;
  readonly metrics: Metrics;
  /** Who holds which role. */
  readonly approvers: Readonly<Record<string, readonly string[]>>;
  /** Who is told what; null where the configuration has no `notifications:`. */
  readonly notices: Notices | null;
  readonly log: Logger;
}
