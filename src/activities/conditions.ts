import { type ConditionReading, Conditions } from '../adapters/metrics/conditions.ts';
import { catalogDigest, catalogSnapshot } from '../adapters/postgres/catalog.ts';
import type { Databases } from '../adapters/postgres/database.ts';
import { ReplicaLag } from '../adapters/postgres/replica-lag.ts';
import { FlagUsages } from '../adapters/unleash/usage.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { Condition } from '../plan/index.ts';
import type { EffectContext } from './effect.ts';
import { pause } from './pause.ts';

const STATEMENT_TIMEOUT_MS = 30_000;

/** Joins the conditions to the databases, to Prometheus and to Unleash. `close` ends the connections to replicas. */
export function createConditions({
  databases,
  prometheusUrl,
  unleash = null,
}: {
  databases: Databases;
  prometheusUrl: string | null;
  unleash?: { url: string; adminToken: string } | null;
}): Conditions & { close(): Promise<void> } {
  const lag = new ReplicaLag();
  const usages = unleash === null ? null : new FlagUsages(unleash);
  const conditions = new Conditions({
    query: (name, sql, values) => databases.get(name).readOnly(sql, { timeoutMs: STATEMENT_TIMEOUT_MS, values }),
    replicaLagMs: (name) => lag.read(databases.get(name)),
    catalogDigest: async (name, { schema, table }) =>
      catalogDigest(
        await catalogSnapshot(
          databases.get(name),
          table === null ? { schemas: [schema] } : { relations: [{ schema, name: table }] },
        ),
      ),
    prometheusUrl,
    flagUsage: usages === null ? null : (of, signal) => usages.read(of, signal),
  });
  return Object.assign(conditions, { close: () => lag.close() });
}

export interface Awaiting {
  /** `once` looks one time; `until` looks until all hold or the deadline passes. */
  mode: 'once' | 'until';
  everyMs: number;
  /** Time left, in milliseconds from now. */
  deadlineMs: number;
}
export interface NamedReading extends ConditionReading {
  name: string;
}

/**
 * Looks at all conditions until they hold; answers with the last readings. Throws `ConditionUnmet` (not to be tried
 * again) where one doesn't hold once, or at the deadline. A source that doesn't answer yet is one that doesn't hold.
 */
export async function awaitConditions(
  conditions: readonly Condition[],
  { mode, everyMs, deadlineMs }: Awaiting,
  context: EffectContext,
): Promise<NamedReading[]> {
  const end = performance.now() + deadlineMs;
  for (let looks = 1; ; looks++) {
    const readings = await Promise.all(conditions.map((condition) => readOne(condition, context)));
    const unmet = readings.filter((reading) => !reading.holds);
    if (unmet.length === 0) return readings;
    const says = unmet.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
    const leftMs = end - performance.now();
    if (mode === 'once' || leftMs <= 0) throw unmetError(unmet, says, mode, looks);
    const progress = {
      done: readings.length - unmet.length,
      total: readings.length,
      perSecond: null,
      etaSeconds: null,
    };
    context.report({ progress, note: `waits for ${says} (${timeOf(leftMs)} left)` });
    await pause(Math.max(1, Math.min(everyMs, leftMs)), context.signal);
  }
}

/** One look at one condition, for `when`: a source that doesn't answer is an error that Temporal tries again. */
export const readCondition = (condition: Condition, context: EffectContext): Promise<ConditionReading> =>
  context.deps.conditions.read(condition, context.signal);

async function readOne(condition: Condition, context: EffectContext): Promise<NamedReading> {
  try {
    return { name: condition.name, ...(await readCondition(condition, context)) };
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof SwitchbackError && error.retry)) throw error;
    return { name: condition.name, holds: false, observed: null, reason: error.message };
  }
}

function unmetError(unmet: readonly NamedReading[], says: string, mode: string, looks: number): SwitchbackError {
  const many = unmet.length === 1 ? 'a condition does' : `${unmet.length} conditions do`;
  return new SwitchbackError(
    'ConditionUnmet',
    `${many} not hold${mode === 'once' ? '' : ` by the deadline, after ${looks} looks`}: ${says}`,
    {
      hint: 'see to what it measures and `retry`, or `skip` it',
      fields: { condition: unmet[0]?.name ?? null, observed: unmet[0]?.observed ?? null, looks },
    },
  );
}

const timeOf = (ms: number): string => {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
};
