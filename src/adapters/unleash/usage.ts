import { AdminApi } from './admin-api.ts';

const HOUR_MS = 3_600_000;
/** Unleash keeps the hours of two days; a longer `hoursBack` it ignores. */
const HOURS_BACK_MAX = 48;
/** It lists no more applications than that, and doesn't say how many there are. */
const APPLICATIONS_MAX = 100;
/** How far its clock and ours may be apart: which hours count is found out by ours. */
const SKEW_MAX_MS = 60_000;

/** What is counted: evaluations that were on, off, or gave a variant; all of them where none is given. */
export interface UsageFilter {
  enabled?: boolean | undefined;
  variant?: string | undefined;
}
/** What clients have reported of a flag in an environment. */
export interface FlagUsage {
  /** Uses in all hours that the time touches: at least those within it. */
  touching: number;
  /** Uses in the hours that began within the time: at most those within it. */
  within: number;
  /** Evaluations of any kind in the hours that the time touches. */
  evaluations: number;
  /** When the first of those hours began. */
  since: string;
  /** Whether there are more applications than Unleash lists, so that uses may be missing. */
  partial: boolean;
  /** Applications that evaluated the flag within two days, and when one of them last reported anything. */
  applications: string[];
  lastReport: string | null;
}

interface Bucket {
  timestamp: string;
  environment: string;
  appName: string;
  yes: number;
  no: number;
  variants?: Record<string, number | string>;
}

/**
 * Clients' metrics of a flag (Admin API, `/client-metrics/features/NAME/raw`; Unleash 7.6.5). Clients add up their
 * evaluations and send them once a minute; the server writes them every 5 s, and keeps one number an hour, so that
 * nothing finer than an hour of the clock can be told apart. A client without a use to report sends nothing.
 */
export class FlagUsages {
  readonly #api: AdminApi;
  constructor({ url, adminToken }: { url: string; adminToken: string }) {
    this.#api = new AdminApi(url, adminToken);
  }

  async read(
    {
      environment,
      flag,
      duringMs,
      filter,
    }: { environment: string; flag: string; duringMs: number; filter: UsageFilter },
    signal: AbortSignal,
  ): Promise<FlagUsage> {
    const from = Date.now() - duringMs;
    const hours = Math.ceil((duringMs + SKEW_MAX_MS) / HOUR_MS) + 1;
    const recent = await this.#buckets({ environment, flag, hours }, signal);
    const touching = recent.buckets.filter(({ timestamp }) => Date.parse(timestamp) + HOUR_MS > from - SKEW_MAX_MS);
    const within = touching.filter(({ timestamp }) => Date.parse(timestamp) >= from + SKEW_MAX_MS);
    const evaluations = sum(touching, ({ yes, no }) => yes + no);
    // Who would have said so, where nobody did.
    const known = evaluations > 0 ? recent : await this.#buckets({ environment, flag, hours: HOURS_BACK_MAX }, signal);
    const applications = [...new Set(known.buckets.map(({ appName }) => appName))].toSorted();
    return {
      touching: sum(touching, (bucket) => usesOf(bucket, filter)),
      within: sum(within, (bucket) => usesOf(bucket, filter)),
      evaluations,
      partial: known.partial,
      since: new Date(Math.floor(from / HOUR_MS) * HOUR_MS).toISOString(),
      applications,
      lastReport: evaluations > 0 ? null : await this.#lastReport(applications, environment, signal),
    };
  }

  /** The hours in which the flag was evaluated in the environment, and whether Unleash left applications out. */
  async #buckets(
    { environment, flag, hours }: { environment: string; flag: string; hours: number },
    signal: AbortSignal,
  ): Promise<{ buckets: Bucket[]; partial: boolean }> {
    // It ignores what is over its limit, and takes a day.
    const hoursBack = Math.min(hours, HOURS_BACK_MAX);
    const path = `/client-metrics/features/${encodeURIComponent(flag)}/raw?hoursBack=${hoursBack}`;
    const { body } = await this.#api.request('GET', path, { signal });
    const all = (body as { data?: Bucket[] } | null)?.data ?? [];
    return {
      buckets: all.filter((bucket) => bucket.environment === environment && bucket.yes + bucket.no > 0),
      partial: new Set(all.map(({ appName }) => appName)).size >= APPLICATIONS_MAX,
    };
  }

  /** When an instance of one of the applications last sent metrics, of whichever flags. */
  async #lastReport(applications: readonly string[], environment: string, signal: AbortSignal): Promise<string | null> {
    const seen: string[] = [];
    for (const name of applications) {
      const path = `/metrics/instances/${encodeURIComponent(name)}/environment/${encodeURIComponent(environment)}`;
      const { body } = await this.#api.request('GET', path, { expected: [404], signal });
      const instances = (body as { instances?: { lastSeen?: string | null }[] } | null)?.instances ?? [];
      seen.push(...instances.flatMap(({ lastSeen }) => lastSeen ?? []));
    }
    return seen.toSorted().at(-1) ?? null;
  }
}

function usesOf({ yes, no, variants }: Bucket, { enabled, variant }: UsageFilter): number {
  if (variant !== undefined) return Number(variants?.[variant] ?? 0);
  if (enabled === undefined) return yes + no;
  return enabled ? yes : no;
}

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((total, item) => total + of(item), 0);
