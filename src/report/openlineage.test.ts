import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { AlteredRange, Audit, AuditedStep } from '../messages/index.ts';
import { openLineageEvents, uuidOf } from './openlineage.ts';

const uri = z.string().regex(/^(https:\/\/openlineage\.io\/spec\/|urn:switchback:)\S+$/);
const facet = { _producer: uri, _schemaURL: uri };
const dataset = {
  namespace: z.string().regex(/^postgres:\/\/[^@/]+:\d+$/),
  name: z.string().regex(/^[^.]+\.[^.]+\.[^.]+$/),
};
const uuid = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
const job = { namespace: z.literal('switchback'), name: z.string().min(1) };
const transformation = z.strictObject({
  type: z.enum(['DIRECT', 'INDIRECT']),
  subtype: z.enum(['IDENTITY', 'TRANSFORMATION']),
  description: z.string(),
  masking: z.boolean(),
});
const inputField = z.strictObject({ ...dataset, field: z.string(), transformations: z.array(transformation) });
/** What is essential of the published schema (2-0-2), closed: nothing but what is meant is written. */
const runEvent = z.strictObject({
  eventType: z.enum(['START', 'COMPLETE', 'ABORT', 'FAIL']),
  eventTime: z.iso.datetime(),
  producer: uri,
  schemaURL: z.literal('https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent'),
  run: z.strictObject({
    runId: uuid,
    facets: z.strictObject({
      parent: z.strictObject({ ...facet, run: z.strictObject({ runId: uuid }), job: z.strictObject(job) }).optional(),
      switchback_run: z.strictObject({
        ...facet,
        migration: z.string(),
        version: z.int(),
        epoch: z.int(),
        requestedBy: z.string(),
      }),
    }),
  }),
  job: z.strictObject({
    ...job,
    facets: z.strictObject({
      ownership: z.strictObject({ ...facet, owners: z.array(z.strictObject({ name: z.string(), type: z.string() })) }),
      jobType: z.strictObject({
        ...facet,
        processingType: z.literal('BATCH'),
        integration: z.literal('SWITCHBACK'),
        jobType: z.string().regex(/^[A-Z_]+$/),
      }),
    }),
  }),
  inputs: z.array(z.strictObject(dataset)),
  outputs: z.array(
    z.strictObject({
      ...dataset,
      facets: z.strictObject({
        columnLineage: z
          .strictObject({
            ...facet,
            fields: z.record(z.string(), z.strictObject({ inputFields: z.array(inputField) })),
          })
          .optional(),
      }),
      outputFacets: z.strictObject({
        outputStatistics: z.strictObject({ ...facet, rowCount: z.int() }).optional(),
        switchback_keyRanges: z
          .strictObject({
            ...facet,
            ranges: z.array(
              z.strictObject({
                after: z.string().nullable(),
                upTo: z.string().nullable(),
                rows: z.int(),
                digestBefore: z.string().nullable(),
                digestAfter: z.string().nullable(),
                at: z.iso.datetime(),
                kind: z.string(),
                by: z.string().nullable(),
              }),
            ),
            leftOut: z.int(),
          })
          .optional(),
      }),
    }),
  ),
});

const at = (minute: number): string => `2026-03-01T10:${String(minute).padStart(2, '0')}:00.000Z`;
const step = (of: Partial<AuditedStep>): AuditedStep => ({
  ...{ database: 'app', version: 2, epoch: 1, step: 'fill', phase: 'main', kind: 'backfill', state: 'applied' },
  ...{ intendedAt: at(1), appliedAt: at(5), undoneAt: null, derives: null },
  ...of,
});
const range = (of: Partial<AlteredRange>): AlteredRange => ({
  ...{ database: 'app', schema: 'public', table: 'users', migration: 'split', version: 2, epoch: 1, step: 'fill' },
  ...{ kind: 'backfill', direction: 'up', lower: null, upper: '9', rows: '9', keys: null, before: '1', after: '-2' },
  ...{ by: 'ana', at: at(2) },
  ...of,
});
const audit = (of: Partial<Audit>): Audit => ({
  ...{ name: 'split', version: 2, epoch: 1, state: 'running', owner: 'team-a', requestedBy: 'ana' },
  namespace: 'default',
  ...{ startedAt: at(0), endedAt: null, decisions: [], decisionsLeftOut: 0, steps: [], ranges: [], rangesLeftOut: 0 },
  ...{ row: null, unread: [], places: { app: { namespace: 'postgres://db.internal:5432', database: 'accounts' } } },
  ...of,
});
const eventsOf = (of: Partial<Audit>) => {
  const events = openLineageEvents(audit(of), { version: '1.2.3' });
  for (const event of events) expect(runEvent.safeParse(event).error?.issues ?? []).toEqual([]);
  return events;
};
const brief = (of: Partial<Audit>) => eventsOf(of).map(({ job: { name }, eventType }) => `${eventType} ${name}`);

describe('openLineageEvents', () => {
  it('writes what a step read and wrote, column by column, with rows and ranges at its end', () => {
    const columns = [
      { name: 'given_name', from: ['full_name'], expression: "split_part(full_name, ' ', 1)" },
      { name: 'copy', from: ['full_name'], expression: 'full_name' },
      { name: 'fixed', from: [], expression: '1' },
    ];
    const events = eventsOf({
      state: 'completed',
      endedAt: at(9),
      steps: [
        step({ derives: { schema: 'public', table: 'users', source: { schema: 'public', table: 'users' }, columns } }),
      ],
      ranges: [
        range({}),
        range({ lower: '9', upper: null, rows: '3' }),
        range({ step: 'other' }),
        range({ version: 1 }),
      ],
    });
    expect(events.map(({ eventType, eventTime }) => [eventType, eventTime])).toEqual([
      ['START', at(0)],
      ['START', at(1)],
      ['COMPLETE', at(5)],
      ['COMPLETE', at(9)],
    ]);
    const [, start, end] = events;
    const users = { namespace: 'postgres://db.internal:5432', name: 'accounts.public.users' };
    expect(start).toMatchObject({ inputs: [users], outputs: [{ ...users, outputFacets: {} }] });
    expect(end?.run.runId).toBe(start?.run.runId);
    expect(end?.run.facets['parent']).toMatchObject({ run: { runId: events[0]?.run.runId } });
    expect(end?.outputs[0]?.outputFacets).toMatchObject({
      outputStatistics: { rowCount: 12 },
      switchback_keyRanges: { leftOut: 0, ranges: [{ after: null, upTo: '9', digestBefore: '1' }, { after: '9' }] },
    });
    const fields = (end?.outputs[0]?.facets['columnLineage']?.['fields'] ?? {}) as Record<
      string,
      { inputFields: { field: string; transformations: { subtype: string }[] }[] }
    >;
    expect(Object.entries(fields).map(([name, of]) => [name, of.inputFields[0]?.transformations[0]?.subtype])).toEqual([
      ['given_name', 'TRANSFORMATION'],
      ['copy', 'IDENTITY'],
      ['fixed', undefined],
    ]);
  });

  it('ends every run that has ended, and an undo is a run of its own', () => {
    expect(brief({ steps: [step({ appliedAt: null, state: 'intended' })] })).toEqual([
      'START split',
      'START split.fill',
    ]);
    const undone = { state: 'rolled-back', endedAt: at(9), steps: [step({ state: 'undone', undoneAt: at(8) })] };
    expect(brief(undone)).toEqual([
      ...['START split', 'START split.fill', 'COMPLETE split.fill'],
      ...['START split.fill', 'COMPLETE split.fill', 'ABORT split'],
    ]);
    expect(new Set(eventsOf(undone).map(({ run }) => run.runId)).size).toBe(3);
    expect(brief({ ...undone, steps: [step({ appliedAt: null, undoneAt: at(8) })] })).toContain('ABORT split.fill');
    expect(brief({ state: 'failed', endedAt: at(9), steps: [step({ appliedAt: null })] })).toEqual([
      ...['START split', 'START split.fill', 'FAIL split', 'FAIL split.fill'],
    ]);
    expect(brief({ steps: [step({ appliedAt: null, state: 'skipped' })] })).toContain('ABORT split.fill');
  });

  it('is the same each time, and another for another epoch', () => {
    expect(eventsOf({ steps: [step({})] })).toEqual(eventsOf({ steps: [step({})] }));
    expect(eventsOf({ epoch: 2 })[0]?.run.runId).not.toBe(eventsOf({})[0]?.run.runId);
    expect(uuidOf(['a', 1])).not.toBe(uuidOf(['a', 2]));
  });

  it('holds no more ranges than an event should', () => {
    const ranges = Array.from({ length: 150 }, (_, key) => range({ upper: String(key) }));
    const last = eventsOf({ steps: [step({})], ranges }).at(-1)?.outputs[0]?.outputFacets;
    expect(last?.['switchback_keyRanges']).toMatchObject({ leftOut: 50 });
    expect(last?.['outputStatistics']).toMatchObject({ rowCount: 150 * 9 });
  });
});
