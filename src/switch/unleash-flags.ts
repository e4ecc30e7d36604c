import type { FlagContext, FlagSource } from './flag-source.ts';

/** What of a flag's definition tells how many it lets in. */
export interface FlagDefinition {
  enabled: boolean;
  strategies?: readonly { name: string; parameters?: Record<string, unknown> | undefined; disabled?: boolean }[];
}

/** The part of unleash-client (6 or later) that a switch uses. */
export interface UnleashClient {
  getVariant(name: string, context?: FlagContext): { name: string; enabled: boolean; feature_enabled?: boolean };
  getFeatureToggleDefinition(name: string): FlagDefinition | undefined;
  isSynchronized(): boolean;
  count(name: string, enabled: boolean): void;
  on(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
}

const EVENTS = ['ready', 'synchronized', 'changed'] as const;

export const fromUnleash = (unleash: UnleashClient): FlagSource => ({
  ask(flag, context) {
    const variant = unleash.getVariant(flag, context);
    return { on: variant.feature_enabled === true, variant: variant.enabled ? variant.name : null };
  },
  exposure: (flag) => exposureOf(unleash.getFeatureToggleDefinition(flag)),
  heard: () => unleash.isSynchronized(),
  watch(changed) {
    for (const event of EVENTS) unleash.on(event, changed);
    return () => {
      for (const event of EVENTS) unleash.off(event, changed);
    };
  },
  count: (flag, onNew) => unleash.count(flag, onNew),
});

/**
 * Percent of callers that a flag lets in: 0 where it is off or missing, else what its one gradual strategy says, else 100.
 * The engine computes the same from what it wrote: two that agree act on the same flag.
 */
export function exposureOf(definition: FlagDefinition | undefined): number {
  if (definition?.enabled !== true) return 0;
  const active = (definition.strategies ?? []).filter(({ disabled }) => disabled !== true);
  const [only] = active;
  if (active.length !== 1 || only?.name !== 'flexibleRollout') return 100;
  const percent = Number(only.parameters?.['rollout']);
  return Number.isInteger(percent) && percent >= 0 && percent <= 100 ? percent : 100;
}
