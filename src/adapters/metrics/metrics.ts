import { SwitchbackError } from '../../messages/index.ts';
import { fillMetricWords, type Metric, metricForm, type MetricPath, metricTexts, namesWord } from '../../plan/index.ts';
import { atPointer } from './json-pointer.ts';
import {
  countsFault,
  httpNumbers,
  type Numbers,
  prometheusCounters,
  prometheusNumbers,
  sqlNumbers,
} from './metric-numbers.ts';
import type { CounterPart, MetricReading } from './metric-window.ts';

export type { MetricReading } from './metric-window.ts';

/** What one instance of a service with `src/switch` has counted since `beganAt`. */
export interface InstanceCounts {
  instance: string;
  /** In ms since 1970, as `at`: by the clock of the ledger's database. */
  beganAt: number;
  counts: unknown;
}
export interface FlagRef {
  environment: string;
  flag: string;
}
/** What metrics need of the databases, as a port: adapters don't know each other. All of it only reads. */
export interface MetricPorts {
  /** Runs one statement; rows of text, columns in order. */
  query(database: string, sql: string, values: readonly string[]): Promise<Record<string, string | null>[]>;
  /** All instances that the home ledger knows for a flag, those whose lease is over too. */
  instanceCounts(of: FlagRef): Promise<{ at: number; instances: readonly InstanceCounts[] }>;
  prometheusUrl: string | null;
}
export interface MetricLook {
  path: MetricPath;
  intervalMs: number;
  /** The flag of the step, for what switches count. */
  flag: FlagRef;
}

/**
 * Reads the metrics of a rollout's analysis, for one path at a time. A ratio whose texts name `$interval` answers with a
 * window, any other with counters; `nextWindow` makes windows of both. A metric that is one number answers with a value
 * (`$path` in it is the path that is asked for: `new`); one of the switches' counts with counters, for `nextLimit`.
 *
 * What was read and makes no sense is `none`, with the reason. What can't be read is thrown, as for conditions:
 * `MetricsUnreachable`, `DatabaseUnreachable`, `StatementFailed`, `ConfigInvalid`.
 */
export class Metrics {
  readonly #ports: MetricPorts;
  constructor(ports: MetricPorts) {
    this.#ports = ports;
  }

  async read(metric: Metric, look: MetricLook, signal: AbortSignal): Promise<MetricReading> {
    signal.throwIfAborted();
    if (metric.switch !== undefined) {
      const { at, instances } = await this.#ports.instanceCounts(look.flag);
      return switchReading(instances, {
        at,
        flag: look.flag.flag,
        pointers: SWITCH_COUNTS[metric.switch.count](look.path),
      });
    }
    const fill = (text: string): string => fillMetricWords(text, look);
    const isWindow = metricTexts(metric).some(({ text }) => namesWord(text, 'interval'));
    if (typeof metric.prometheus === 'object' && !isWindow)
      return prometheusCounters(this.#ports.prometheusUrl, metric.prometheus, fill, signal);
    const found = await this.#numbers(metric, fill, signal);
    if ('reason' in found) return { kind: 'none', reason: found.reason };
    if (metricForm(metric) === 'limit') return { kind: 'value', value: found.total, at: found.at, note: found.note };
    return countsReading(found, isWindow);
  }

  #numbers(
    { prometheus, sql, http, name }: Metric,
    fill: (text: string) => string,
    signal: AbortSignal,
  ): Promise<Numbers | { reason: string }> {
    if (prometheus !== undefined) return prometheusNumbers(this.#ports.prometheusUrl, prometheus, fill, signal);
    if (sql !== undefined) return sqlNumbers((database, text) => this.#ports.query(database, text, []), sql, fill);
    if (http !== undefined) return httpNumbers(http, fill, signal);
    throw new SwitchbackError('PlanInvalid', `metric "${name}" has no source`);
  }
}

function countsReading({ total, bad, at, note }: Numbers, isWindow: boolean): MetricReading {
  const fault = countsFault({ total, bad });
  if (fault !== null) return { kind: 'none', reason: fault };
  const counts = { total, bad: Math.min(bad, total) };
  if (isWindow) return { kind: 'window', at, note, ...counts };
  return { kind: 'counter', at, note, parts: { '': { ...counts, beganAt: null } } };
}

/** Where the total and the bad ones are in what an instance counts. */
const SWITCH_COUNTS: Record<
  NonNullable<Metric['switch']>['count'],
  (path: MetricPath) => { total: string; bad: string }
> = {
  errors: (path) => ({ total: `/${path}/calls`, bad: `/${path}/errors` }),
  slow: (path) => ({ total: `/${path}/calls`, bad: `/${path}/slow` }),
  unitsFailed: (path) => ({ total: `/${path}/units`, bad: `/${path}/unitsFailed` }),
  mismatches: () => ({ total: '/compared', bad: '/mismatches' }),
};

function switchReading(
  instances: readonly InstanceCounts[],
  { at, flag, pointers }: { at: number; flag: string; pointers: { total: string; bad: string } },
): MetricReading {
  if (instances.length === 0) return { kind: 'none', reason: `no service has counted anything for ${flag}` };
  const parts: Record<string, CounterPart> = {};
  for (const { instance, beganAt, counts } of instances) {
    const total = countAt(counts, pointers.total);
    const bad = countAt(counts, pointers.bad);
    if (total === null || bad === null)
      return { kind: 'none', reason: `what instance ${instance} has counted can't be read; is its version another?` };
    parts[`${instance} ${beganAt}`] = { total, bad: Math.min(bad, total), beganAt };
  }
  return { kind: 'counter', at, note: null, parts };
}

/** A count that isn't there is 0: an instance that has just begun has none. Null where it isn't a count. */
function countAt(counts: unknown, pointer: string): number | null {
  const found = atPointer(counts, pointer)?.value ?? 0;
  return Number.isSafeInteger(found) && (found as number) >= 0 ? (found as number) : null;
}
