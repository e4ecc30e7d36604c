import { Metrics } from '../adapters/metrics/metrics.ts';
import type { Databases } from '../adapters/postgres/database.ts';
import type { HomeLedger } from '../adapters/postgres/home-ledger.ts';
import { instanceCounts } from '../adapters/postgres/instance-counts.ts';

const STATEMENT_TIMEOUT_MS = 30_000;

/** Joins the metrics of an analysis to the databases, the home ledger and Prometheus. */
export const createMetrics = ({
  databases,
  home,
  prometheusUrl,
}: {
  databases: Databases;
  home: HomeLedger;
  prometheusUrl: string | null;
}): Metrics =>
  new Metrics({
    query: (name, sql, values) => databases.get(name).readOnly(sql, { timeoutMs: STATEMENT_TIMEOUT_MS, values }),
    instanceCounts: (flag) => instanceCounts(home.database, flag),
    prometheusUrl,
  });
