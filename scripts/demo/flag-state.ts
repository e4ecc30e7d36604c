import { FLAG } from './name-service.ts';

/** The demo's own look at the flag, through Unleash's Admin API: what the engine says about it is not asked. */
export interface UnleashAdmin {
  url: string;
  adminToken: string;
}
interface Strategy {
  name: string;
  parameters?: Record<string, string>;
  constraints?: unknown[];
  segments?: unknown[];
  variants?: unknown[];
  disabled?: boolean;
}
/** A flag without what changes by itself: ids, times, counts. */
export interface FlagView {
  type: string;
  description: string | null;
  stale: boolean;
  archived: boolean;
  environments: { name: string; enabled: boolean; strategies: Strategy[] }[];
}

const PROJECT_FLAGS = '/api/admin/projects/default/features';

async function request(admin: UnleashAdmin, method: 'GET' | 'POST', path: string, body?: object): Promise<Response> {
  return fetch(new URL(path, admin.url), {
    method,
    headers: { authorization: admin.adminToken, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

/** Creates the flag as the services' team would have: off, without a strategy. */
export async function createFlag(admin: UnleashAdmin): Promise<void> {
  const response = await request(admin, 'POST', PROJECT_FLAGS, {
    name: FLAG,
    type: 'release',
    description: 'Read and write given_name and family_name instead of full_name',
  });
  if (!response.ok) throw new Error(`Unleash didn't create ${FLAG}: ${response.status} ${await response.text()}`);
}

/** The flag as it is now; null where there is no such flag. */
export async function flagState(admin: UnleashAdmin): Promise<FlagView | null> {
  const response = await request(admin, 'GET', `${PROJECT_FLAGS}/${FLAG}`);
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`Unleash didn't show ${FLAG}: ${response.status} ${await response.text()}`);
  const feature = (await response.json()) as FlagView;
  return {
    type: feature.type,
    description: feature.description,
    stale: feature.stale,
    archived: feature.archived,
    environments: feature.environments
      .map(({ name, enabled, strategies }) => ({ name, enabled, strategies: strategies.map(strategyState) }))
      .sort((a, b) => a.name.localeCompare(b.name)),
  };
}

const strategyState = (strategy: Strategy): Strategy => ({
  name: strategy.name,
  parameters: Object.fromEntries(Object.entries(strategy.parameters ?? {}).sort()),
  constraints: strategy.constraints ?? [],
  segments: strategy.segments ?? [],
  variants: strategy.variants ?? [],
  disabled: strategy.disabled ?? false,
});

/** The percentage of users who are on the new path, as the flag says: 0 where it is off. */
export function exposureOf(state: FlagView | null): number {
  const development = state?.environments.find((environment) => environment.name === 'development');
  if (development?.enabled !== true) return 0;
  return Math.max(0, ...development.strategies.map((strategy) => Number(strategy.parameters?.['rollout'] ?? 0)));
}
