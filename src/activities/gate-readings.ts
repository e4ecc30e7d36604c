import { type LimitMemory, nextLimit, nextPair, type PairMemory } from '../adapters/metrics/metric-window.ts';
import type { MetricReading } from '../adapters/metrics/metrics.ts';
import type { GateCounts } from '../adapters/postgres/gate-windows.ts';
import { SwitchbackError } from '../messages/index.ts';
import {
  type Metric,
  metricForm,
  type MetricPath,
  type MetricSource,
  METRIC_SOURCES,
  type StepOf,
} from '../plan/index.ts';
import type { EffectContext } from './effect.ts';
import type { FlagChange } from './flag-change.ts';

/** What is kept of one metric from look to look; JSON, in the ledger. */
interface Memory extends PairMemory {
  limit?: LimitMemory | null;
}
export type Memories = Record<string, Memory>;

/** What one look found of one metric. */
export interface Reading {
  metric: Metric;
  /** Of a ratio: the window that ends with this look; null where there is none. */
  counts: GateCounts | null;
  /** Of one number: that. */
  value: number | null;
  /** Why its source has nothing to say. */
  silent: string | null;
  memory: Memory;
}
/** How to look: over what time, and whether the old path may well have nothing to say. */
export interface LookAt {
  intervalMs: number;
  memories: Memories;
  /** Everybody is on the new path: the old one isn't missing where nobody uses it. */
  oldUnused: boolean;
}

export const sourceOf = (metric: Metric): MetricSource =>
  METRIC_SOURCES.find((source) => metric[source] !== undefined) ?? 'sql';

/** Reads all metrics of an analysis once, for both paths. Throws `MetricsUnreachable` where one can never be read. */
export function readMetrics(
  analysis: NonNullable<StepOf<'rollout'>['analysis']>,
  change: FlagChange,
  look: LookAt,
  context: EffectContext,
): Promise<Reading[]> {
  const read = async (metric: Metric, path: MetricPath): Promise<MetricReading> => {
    const flag = { environment: change.ref.environment, flag: change.ref.flag };
    try {
      return await context.deps.metrics.read(metric, { path, intervalMs: look.intervalMs, flag }, context.signal);
    } catch (error) {
      context.signal.throwIfAborted();
      if (!(error instanceof SwitchbackError)) throw error;
      if (error.retry) return { kind: 'none', reason: error.message };
      throw new SwitchbackError('MetricsUnreachable', `metric "${metric.name}" can't be read: ${error.message}`, {
        hint: error.hint ?? 'correct the metric in the plan or the source in the configuration',
        fields: { metric: metric.name },
        cause: error,
      });
    }
  };
  return Promise.all(
    analysis.metrics.map(async (metric) => {
      const memory = look.memories[metric.name] ?? {};
      if (metricForm(metric) === 'limit') {
        const { value, why, memory: limit } = nextLimit(memory.limit ?? null, await read(metric, 'new'));
        return { metric, counts: null, value, silent: why, memory: { limit } };
      }
      const [old, fresh] = await Promise.all([read(metric, 'old'), read(metric, 'new')]);
      return { metric, value: null, ...nextPair(memory, { old, new: fresh }, look) };
    }),
  );
}
