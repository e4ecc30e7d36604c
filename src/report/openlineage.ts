import { createHash } from 'node:crypto';
import type { AlteredRange, Audit, AuditedStep, DerivedColumns, Direction } from '../messages/index.ts';

/**
 * An audit as OpenLineage run events (https://openlineage.io, spec 2-0-2): a run for the migration, and one for each
 * step and direction, whose parent it is. Run IDs follow from migration, version, epoch, step and direction, so that the
 * same export twice is the same events.
 */
export interface RunEvent {
  eventType: 'START' | 'COMPLETE' | 'ABORT' | 'FAIL';
  eventTime: string;
  producer: string;
  schemaURL: string;
  run: { runId: string; facets: Record<string, Facet> };
  job: { namespace: string; name: string; facets: Record<string, Facet> };
  inputs: { namespace: string; name: string }[];
  outputs: OutputDataset[];
}
export interface OutputDataset {
  namespace: string;
  name: string;
  facets: Record<string, Facet>;
  outputFacets: Record<string, Facet>;
}
export interface Facet {
  _producer: string;
  _schemaURL: string;
  [field: string]: unknown;
}

const JOB_NAMESPACE = 'switchback';
const SPEC = 'https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent';
const FACETS = 'https://openlineage.io/spec/facets';
const SCHEMAS = {
  columnLineage: `${FACETS}/1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet`,
  outputStatistics: `${FACETS}/1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet`,
  ownership: `${FACETS}/1-0-1/OwnershipJobFacet.json#/$defs/OwnershipJobFacet`,
  jobType: `${FACETS}/2-0-3/JobTypeJobFacet.json#/$defs/JobTypeJobFacet`,
  parent: `${FACETS}/1-0-1/ParentRunFacet.json#/$defs/ParentRunFacet`,
  // Facets of our own: docs/audit.md says what they hold.
  switchback_run: 'urn:switchback:openlineage:run-facet:1',
  switchback_keyRanges: 'urn:switchback:openlineage:key-ranges-facet:1',
} as const;
/** Ranges in one event: a backfill has tens, a repair may have thousands. */
const RANGES_MAX = 100;

/** All events, in the order of their times. `version` is that of this software. */
export function openLineageEvents(audit: Audit, { version }: { version: string }): RunEvent[] {
  const writer = new EventWriter(audit, version);
  const events = [
    ...writer.ofMigration(),
    ...audit.steps.flatMap((step) => [...writer.ofStep(step, 'up'), ...writer.ofStep(step, 'down')]),
  ];
  return events.toSorted((a, b) => (a.eventTime < b.eventTime ? -1 : a.eventTime > b.eventTime ? 1 : 0));
}

class EventWriter {
  readonly #audit: Audit;
  readonly #producer: string;
  constructor(audit: Audit, version: string) {
    this.#audit = audit;
    this.#producer = `urn:switchback:${version}`;
  }

  ofMigration(): RunEvent[] {
    const { startedAt, endedAt, state, name } = this.#audit;
    const event = (eventType: RunEvent['eventType'], eventTime: string): RunEvent =>
      this.#event(eventType, eventTime, { runId: this.#runId(null), run: {}, name, jobType: 'MIGRATION' });
    const ending = { completed: 'COMPLETE', 'rolled-back': 'ABORT', failed: 'FAIL' } as const;
    const end = ending[state as keyof typeof ending];
    return [event('START', startedAt), ...(endedAt === null || end === undefined ? [] : [event(end, endedAt)])];
  }

  ofStep(step: AuditedStep, direction: Direction): RunEvent[] {
    const ranges = this.#audit.ranges.filter(
      (range) =>
        range.step === step.step &&
        range.direction === direction &&
        range.database === step.database &&
        range.version === step.version &&
        range.epoch === step.epoch,
    );
    const times = timesOf(step, direction, ranges, this.#audit);
    if (times === null) return [];
    const { outputs, inputs } = this.#datasets(step, direction, ranges);
    const event = (eventType: RunEvent['eventType'], eventTime: string, writes: OutputDataset[]): RunEvent => ({
      ...this.#event(eventType, eventTime, {
        runId: this.#runId(step, direction),
        run: {
          parent: this.#facet('parent', {
            run: { runId: this.#runId(null) },
            job: { namespace: JOB_NAMESPACE, name: this.#audit.name },
          }),
        },
        name: `${this.#audit.name}.${step.step}`,
        jobType: step.kind.toUpperCase().replaceAll('-', '_'),
      }),
      inputs,
      outputs: writes,
    });
    // What was written is known at the end.
    const begun = event(
      'START',
      times.start,
      outputs.map((output) => ({ ...output, outputFacets: {} })),
    );
    return times.end === null ? [begun] : [begun, event(times.end.type, times.end.at, outputs)];
  }

  #event(
    eventType: RunEvent['eventType'],
    eventTime: string,
    of: { runId: string; run: Record<string, Facet>; name: string; jobType: string },
  ): RunEvent {
    const { name, version, epoch, owner, requestedBy } = this.#audit;
    return {
      eventType,
      eventTime,
      producer: this.#producer,
      schemaURL: SPEC,
      run: {
        runId: of.runId,
        facets: {
          ...of.run,
          switchback_run: this.#facet('switchback_run', { migration: name, version, epoch, requestedBy }),
        },
      },
      job: {
        namespace: JOB_NAMESPACE,
        name: of.name,
        facets: {
          ownership: this.#facet('ownership', { owners: [{ name: owner, type: 'MAINTAINER' }] }),
          jobType: this.#facet('jobType', { processingType: 'BATCH', integration: 'SWITCHBACK', jobType: of.jobType }),
        },
      },
      inputs: [],
      outputs: [],
    };
  }

  /** The tables that the step wrote, each once, and those whose columns it read for that. */
  #datasets(step: AuditedStep, direction: Direction, ranges: readonly AlteredRange[]) {
    const derives = direction === 'up' ? step.derives : null;
    const tables = new Map<string, { schema: string; table: string }>();
    for (const { schema, table } of [...(derives === null ? [] : [derives]), ...ranges])
      tables.set(JSON.stringify([schema, table]), { schema, table });
    const outputs = [...tables.values()].map(({ schema, table }): OutputDataset => {
      const own = ranges.filter((range) => range.schema === schema && range.table === table);
      const filled = derives?.schema === schema && derives.table === table ? derives : null;
      return {
        ...this.#dataset(step.database, schema, table),
        facets: filled === null ? {} : { columnLineage: this.#columnLineage(step.database, filled) },
        outputFacets: own.length === 0 ? {} : this.#figures(own),
      };
    });
    const reads = derives?.columns.some(({ from }) => from.length > 0) === true;
    return {
      outputs,
      inputs: reads ? [this.#dataset(step.database, derives.source.schema, derives.source.table)] : [],
    };
  }

  #figures(ranges: readonly AlteredRange[]): Record<string, Facet> {
    const rowCount = Number(ranges.reduce((sum, { rows }) => sum + BigInt(rows), 0n));
    const told = ranges.slice(-RANGES_MAX);
    return {
      outputStatistics: this.#facet('outputStatistics', { rowCount }),
      switchback_keyRanges: this.#facet('switchback_keyRanges', {
        ranges: told.map(({ lower, upper, rows, before, after, at, kind, by }) => ({
          ...{ after: lower, upTo: upper, rows: Number(rows) },
          ...{ digestBefore: before, digestAfter: after, at, kind, by },
        })),
        leftOut: ranges.length - told.length,
      }),
    };
  }

  #columnLineage(database: string, { source, columns }: DerivedColumns): Facet {
    const dataset = this.#dataset(database, source.schema, source.table);
    const fields = columns.map(({ name, from, expression }) => [
      name,
      {
        inputFields: from.map((field) => ({
          ...dataset,
          field,
          transformations: [
            {
              type: 'DIRECT',
              subtype: expression.trim() === field ? 'IDENTITY' : 'TRANSFORMATION',
              description: expression,
              masking: false,
            },
          ],
        })),
      },
    ]);
    return this.#facet('columnLineage', { fields: Object.fromEntries(fields) });
  }

  #dataset(database: string, schema: string, table: string): { namespace: string; name: string } {
    const place = this.#audit.places[database];
    return {
      namespace: place?.namespace ?? `postgres://${database}`,
      name: `${place?.database ?? database}.${schema}.${table}`,
    };
  }

  #facet(of: keyof typeof SCHEMAS, fields: Record<string, unknown>): Facet {
    return { _producer: this.#producer, _schemaURL: SCHEMAS[of], ...fields };
  }

  #runId(step: AuditedStep | null, direction: Direction = 'up'): string {
    const { name, version, epoch } = this.#audit;
    return uuidOf(step === null ? [name, version, epoch] : [name, version, epoch, step.step, direction]);
  }
}

interface Times {
  start: string;
  end: { type: RunEvent['eventType']; at: string } | null;
}

/** When a step ran in that direction; null where it didn't. */
function timesOf(step: AuditedStep, direction: Direction, ranges: readonly AlteredRange[], audit: Audit): Times | null {
  if (direction === 'down') {
    if (step.undoneAt === null) return null;
    return { start: ranges[0]?.at ?? step.undoneAt, end: { type: 'COMPLETE', at: step.undoneAt } };
  }
  const start = step.intendedAt;
  if (step.appliedAt !== null) return { start, end: { type: 'COMPLETE', at: step.appliedAt } };
  if (step.undoneAt !== null) return { start, end: { type: 'ABORT', at: step.undoneAt } };
  if (step.state === 'skipped') return { start, end: { type: 'ABORT', at: start } };
  return { start, end: audit.endedAt === null ? null : { type: 'FAIL', at: audit.endedAt } };
}

/** A UUID of version 8 (RFC 9562): 122 bits of the SHA-256 of what it names. */
export function uuidOf(named: readonly (string | number)[]): string {
  const bytes = createHash('sha256').update(JSON.stringify(named)).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
