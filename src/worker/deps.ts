import type { Logger } from 'pino';
import { createConditions } from '../activities/conditions.ts';
import type { Deps } from '../activities/deps.ts';
import { createMetrics } from '../activities/metrics.ts';
import { Notices } from '../activities/notices.ts';
import { Databases } from '../adapters/postgres/database.ts';
import { HomeLedger } from '../adapters/postgres/home-ledger.ts';
import { Unleash } from '../adapters/unleash/unleash.ts';
import type { Config } from './config.ts';

/** Joins the configuration to the adapters: the only place that knows all of them. */
export function createDeps(
  config: Config,
  log: Logger,
  temporal: { namespace: string; wake(): void },
): { deps: Deps; close(): Promise<void> } {
  const databases = new Databases(config.databases);
  const home = new HomeLedger(databases.get(config.ledger));
  const prometheusUrl = config.prometheus?.url ?? null;
  const conditions = createConditions({ databases, prometheusUrl, unleash: config.unleash });
  const deps: Deps = {
    databases,
    home,
    unleash:
      config.unleash === null ? null : new Unleash({ url: config.unleash.url, adminToken: config.unleash.adminToken }),
    conditions,
    metrics: createMetrics({ databases, home, prometheusUrl }),
    approvers: config.approvers,
    notices:
      config.notifications.length === 0
        ? null
        : new Notices({
            webhooks: config.notifications,
            deprecationNotice: config.deprecationNotice,
            ui: config.temporalUi,
            ...temporal,
          }),
    log,
  };
  return {
    deps,
    async close() {
      await conditions.close();
      await databases.close();
    },
  };
}
