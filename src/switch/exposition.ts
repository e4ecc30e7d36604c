import { BUCKETS_MS, type CallCounter, type Operation, type SwitchCounts } from './counters.ts';
import { generationTold } from './footing.ts';
import { type Path, rankOf, type Stage } from './stage.ts';
import type { Switching } from './switching.ts';

/** A switch as `/switchback` shows it. */
export interface SwitchStatus {
  environment: string;
  flag: string;
  service: string;
  instance: string;
  /** Null: nobody has said yet. */
  stage: Stage | null;
  /** Of the stages row; 0 where there is none. */
  generation: number;
  exposure: number;
  /** What the ledger has been told, and the engine waits for: older than the above while calls are under way on it. */
  acknowledged: { stage: Stage | null; generation: number; exposure: number };
  inFlight: number;
  /** `none`: there is no ledger. `away`: the last answer is `awayMs` old; whether the lease is `held` all the same. */
  ledger: { state: 'none' | 'here' | 'away'; held: boolean; awayMs: number; error: string | null };
  /** Whether the configured minimum keeps the instance above what the row asks for. */
  aboveRow: boolean;
  counts: SwitchCounts;
}

export function statusOf({ identity, footings, lease, counters }: Switching): SwitchStatus {
  const { current, told } = footings;
  const { environment, flag, service, instance } = identity;
  const awayMs = lease?.awayMs ?? null;
  return {
    ...{ environment, flag, service, instance },
    stage: current?.stage ?? null,
    generation: current?.generation ?? 0,
    exposure: current?.exposure ?? 0,
    acknowledged: { stage: told?.stage ?? null, generation: generationTold(told), exposure: told?.exposure ?? 0 },
    inFlight: footings.inFlight,
    ledger: {
      state: lease === null ? 'none' : awayMs === null ? 'here' : 'away',
      held: lease?.heldAt(performance.now()) ?? false,
      awayMs: Math.round(awayMs ?? 0),
      error: lease?.lastError ?? null,
    },
    aboveRow: current?.asAsked === false,
    counts: counters.counts,
  };
}

/**
 * Prometheus's text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/). Written by
 * hand: it is a few lines of text.
 */
export function metricsText(switches: readonly Switching[]): string {
  const lines: string[] = [];
  for (const { name, type, help, of } of FAMILIES) {
    const samples = switches.flatMap((each) => of(each).map((sample) => lineOf(name, labelsOf(each), sample)));
    if (samples.length > 0) lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples);
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

interface Sample {
  suffix?: string;
  labels?: Record<string, string>;
  value: number;
}
interface Family {
  name: string;
  type: 'counter' | 'gauge' | 'histogram';
  help: string;
  of(each: Switching): Sample[];
}

const labelsOf = ({ identity }: Switching): Record<string, string> => ({
  environment: identity.environment,
  flag: identity.flag,
  ...(identity.service !== '' && { service: identity.service }),
});

function lineOf(name: string, base: Record<string, string>, { suffix = '', labels = {}, value }: Sample): string {
  const all = Object.entries({ ...base, ...labels }).map(([label, text]) => `${label}="${escaped(text)}"`);
  return `${name}${suffix}{${all.join(',')}} ${value}`;
}
const escaped = (text: string): string =>
  text.replaceAll('\\', String.raw`\\`).replaceAll('"', String.raw`\"`).replaceAll('\n', String.raw`\n`);

const PATHS: readonly Path[] = ['old', 'new'];
const OPERATIONS: readonly Operation[] = ['read', 'write'];

/** A value for each path and operation that has been called. */
const byCall =
  (pick: (counter: CallCounter) => number) =>
  (each: Switching): Sample[] =>
    PATHS.flatMap((path) =>
      OPERATIONS.map((operation) => ({
        labels: { path, operation },
        value: pick(each.counters.calls[path][operation]),
      })),
    );
const byPath =
  (pick: (counts: SwitchCounts[Path]) => number) =>
  (each: Switching): Sample[] => {
    const { counts } = each.counters;
    return PATHS.map((path) => ({ labels: { path }, value: pick(counts[path]) }));
  };
const one =
  (pick: (each: Switching) => number) =>
  (each: Switching): Sample[] => [{ value: pick(each) }];

function durations(each: Switching): Sample[] {
  return PATHS.flatMap((path) =>
    OPERATIONS.flatMap((operation) => {
      const { buckets, sumMs, calls } = each.counters.calls[path][operation];
      const labels = { path, operation };
      let below = 0;
      const cumulative = [...buckets].map((count, index) => {
        below += count;
        const bound = BUCKETS_MS[index];
        const le = bound === undefined ? '+Inf' : String(bound / 1_000);
        return { suffix: '_bucket', labels: { ...labels, le }, value: below };
      });
      return [
        ...cumulative,
        { suffix: '_sum', labels, value: sumMs / 1_000 },
        { suffix: '_count', labels, value: calls },
      ];
    }),
  );
}

const counter = (name: string, help: string, of: Family['of']): Family => ({
  ...{ name: `switchback_switch_${name}_total`, type: 'counter', help },
  of,
});
const gauge = (name: string, help: string, of: Family['of']): Family => ({
  ...{ name: `switchback_switch_${name}`, type: 'gauge', help },
  of,
});

const FAMILIES: readonly Family[] = [
  counter(
    'calls',
    'Calls of each side, also those that are only compared or written second.',
    byCall((of) => of.calls),
  ),
  counter(
    'errors',
    'Calls that failed, or took longer than the time-out of a compared read.',
    byCall((of) => of.errors),
  ),
  counter(
    'slow',
    'Calls that took slowMs or longer.',
    byCall((of) => of.slow),
  ),
  {
    ...{ name: 'switchback_switch_duration_seconds', type: 'histogram', help: 'How long calls of each side took.' },
    of: durations,
  },
  counter(
    'units',
    'Distinct keys a minute, added up.',
    byPath((of) => of.units),
  ),
  counter(
    'units_failed',
    'Those of them with a failure in that minute.',
    byPath((of) => of.unitsFailed),
  ),
  counter(
    'compared',
    'Reads of which both answers were compared.',
    one(({ counters }) => counters.compared),
  ),
  counter(
    'mismatches',
    'Compared reads that differed.',
    one(({ counters }) => counters.mismatches),
  ),
  counter(
    'ignored',
    'Differences that `ignore` knows.',
    one(({ counters }) => counters.ignored),
  ),
  counter(
    'comparison_errors',
    'Comparisons that threw.',
    one(({ counters }) => counters.comparisonErrors),
  ),
  counter(
    'shadow_timeouts',
    'Compared reads that took too long.',
    one(({ counters }) => counters.shadowTimeouts),
  ),
  counter(
    'shadow_late',
    'Those of them that ended later.',
    one(({ counters }) => counters.shadowLate),
  ),
  counter(
    'repairs_queued',
    'Keys queued because one side lacks a write.',
    one(({ counters }) => counters.repairsQueued),
  ),
  counter(
    'repairs_done',
    'Keys that this instance has repaired.',
    one(({ counters }) => counters.repairsDone),
  ),
  counter(
    'repairs_failed',
    'Repairs that failed and are tried again.',
    one(({ counters }) => counters.repairsFailed),
  ),
  counter(
    'refused',
    'Calls that the switch refused.',
    one(({ counters }) => counters.refused),
  ),
  counter(
    'fenced',
    'Writes that a fence refused.',
    one(({ counters }) => counters.fenced),
  ),
  gauge(
    'stage',
    'The stage, 0 (off) to 5 (complete); -1: unknown.',
    one(({ stage }) => (stage ? rankOf(stage) : -1)),
  ),
  gauge(
    'generation',
    'Of the stages row.',
    one(({ footings }) => footings.current?.generation ?? 0),
  ),
  gauge(
    'exposure_percent',
    'Callers that the flag lets in.',
    one(({ footings }) => footings.current?.exposure ?? 0),
  ),
  gauge(
    'in_flight',
    'Calls under way.',
    one(({ footings }) => footings.inFlight),
  ),
  gauge(
    'lease_held',
    'Whether the engine waits for this instance; 1 also without a ledger.',
    one(({ lease }) => (lease === null || lease.heldAt(performance.now()) ? 1 : 0)),
  ),
  gauge(
    'ledger_away_seconds',
    'Since when the ledger has not answered.',
    one(({ lease }) => (lease?.awayMs ?? 0) / 1_000),
  ),
];
