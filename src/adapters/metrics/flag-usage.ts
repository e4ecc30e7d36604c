import { type Condition, durationMs } from '../../plan/index.ts';
import { type ConditionReading, compare, noValue } from './bounds.ts';

type UsageSource = NonNullable<Condition['flagUsage']>;

/** What clients have reported of a flag; Unleash counts by hours of the clock. */
export interface UsageReading {
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
  applications: readonly string[];
  lastReport: string | null;
}
export type ReadUsage = (
  of: {
    environment: string;
    flag: string;
    duringMs: number;
    filter: { enabled?: boolean | undefined; variant?: string | undefined };
  },
  signal: AbortSignal,
) => Promise<UsageReading>;

/** Clients report once a minute, later where Unleash didn't answer; who was silent for longer may be gone. */
const REPORT_AGE_MAX_MS = 15 * 60_000;

/**
 * How often a flag was used. `max` and `equals` hold for all hours that `during` touches, `min` for those that began
 * within it, so that the clock's hours never make a reading better than it is. That nobody used a flag counts only where
 * somebody would have said so: a client that evaluated it, or one that did within two days and reports other flags.
 */
export async function readFlagUsage(
  source: UsageSource,
  read: ReadUsage,
  signal: AbortSignal,
): Promise<ConditionReading> {
  const { flag, environment = 'development', during, enabled, variant, max, min, equals } = source;
  const usage = await read({ environment, flag, duringMs: durationMs(during), filter: { enabled, variant } }, signal);
  const silent = whySilent(usage, flag);
  if (silent !== null) return noValue(silent);
  const readings = [
    ...(min === undefined ? [] : [compare(usage.within, { min })]),
    ...(max === undefined && equals === undefined ? [] : [compare(usage.touching, { max, equals })]),
  ];
  const failed = readings.find((reading) => !reading.holds);
  const told = failed ?? readings.at(-1) ?? noValue('it says nothing about the uses');
  return { ...told, reason: `uses since ${usage.since}: ${told.reason}` };
}

function whySilent({ evaluations, partial, applications, lastReport }: UsageReading, flag: string): string | null {
  if (partial) return `more applications use ${flag} than Unleash lists: some uses may be missing`;
  if (evaluations > 0) return null;
  const uses = 'whether it is used nobody can say';
  if (applications.length === 0) return `no client has reported on ${flag} within 48 hours: ${uses}`;
  const names = `${applications.slice(0, 5).join(', ')}${applications.length > 5 ? ', …' : ''}`;
  if (lastReport === null) return `what used ${flag} (${names}) is gone from Unleash: ${uses}`;
  return Date.now() - Date.parse(lastReport) > REPORT_AGE_MAX_MS
    ? `what used ${flag} (${names}) has last reported at ${lastReport}: ${uses}`
    : null;
}
