import type { FlagContext, FlagSource } from './flag-source.ts';

/** The part of a client of OpenFeature's server SDK (1.x) that a switch uses. */
export interface OpenFeatureClient {
  getBooleanDetails(flag: string, otherwise: boolean, context?: EvaluationContext): Promise<Details<boolean>>;
  getStringDetails(flag: string, otherwise: string, context?: EvaluationContext): Promise<Details<string>>;
  addHandler(event: never, handler: () => void): void;
  removeHandler(event: never, handler: () => void): void;
}
type EvaluationContext = { targetingKey?: string } & Record<string, string | number | boolean | Date>;
interface Details<T> {
  value: T;
  variant?: string | undefined;
  errorCode?: string | undefined;
}

/** As `ProviderEvents` of the SDK calls them. */
const EVENTS = ['PROVIDER_READY', 'PROVIDER_CONFIGURATION_CHANGED'] as const;

export interface OpenFeatureOptions {
  /** `boolean`: on or off, with a stage as the variant's name; `string`: the value is a stage's name. Default `boolean`. */
  as?: 'boolean' | 'string';
  /** Percent of callers that the flag lets in, where the provider can tell. Without it 100: everybody is asked for. */
  exposure?: () => number;
}

/**
 * Flags of any provider of OpenFeature. The engine sets Unleash's only: with another provider people set exposure, and the
 * row in the ledger says the stage.
 */
export function fromOpenFeature(client: OpenFeatureClient, options: OpenFeatureOptions = {}): FlagSource {
  const { as = 'boolean', exposure = () => 100 } = options;
  let heard = false;
  return {
    async ask(flag, context) {
      const { userId, ...rest } = context;
      const asked = { ...plain(rest), ...(userId !== undefined && { targetingKey: userId, userId }) };
      const details =
        as === 'string'
          ? await client.getStringDetails(flag, '', asked)
          : await client.getBooleanDetails(flag, false, asked);
      if (details.errorCode !== undefined) return { on: false, variant: null };
      heard = true;
      return typeof details.value === 'string'
        ? { on: details.value !== '', variant: details.value }
        : { on: details.value, variant: details.variant ?? null };
    },
    exposure,
    heard: () => heard,
    watch(changed) {
      const handler = (): void => {
        heard = true;
        changed();
      };
      for (const event of EVENTS) client.addHandler(event as never, handler);
      return () => {
        for (const event of EVENTS) client.removeHandler(event as never, handler);
      };
    },
  };
}

/** What a context of OpenFeature may hold: no nested properties of Unleash's. */
function plain(context: FlagContext): Record<string, string | number | Date> {
  const entries = Object.entries(context).flatMap(([name, value]): [string, string | number | Date][] => {
    if (value === undefined) return [];
    if (typeof value !== 'object' || value instanceof Date) return [[name, value]];
    return Object.entries(value).flatMap(([inner, of]): [string, string | number][] =>
      of === undefined ? [] : [[inner, of]],
    );
  });
  return Object.fromEntries(entries);
}
