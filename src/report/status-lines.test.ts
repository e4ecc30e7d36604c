import { describe, expect, it } from 'vitest';
import type { Status, StepStatus } from '../messages/index.ts';
import { openGate, sampleStatus } from './sample-status.test-data.ts';
import { changeLines } from './status-lines.ts';

const PROGRAM = 'npx switchback';
const withBackfill = (over: Partial<StepStatus>): Status => {
  const status = sampleStatus();
  return {
    ...status,
    phases: status.phases.map((phase) => ({
      ...phase,
      steps: phase.steps.map((step) => (step.id === 'accounts-backfill' ? { ...step, ...over } : step)),
    })),
  };
};
const progress = (done: number) => ({ done, total: 300_000, perSecond: 12_000, etaSeconds: 1 });

describe('changeLines', () => {
  it('begins with all that has happened so far', () => {
    const lines = changeLines(null, sampleStatus(), PROGRAM);
    expect(lines).toContain('phase expand: done');
    expect(lines).toContain('step accounts-columns (ddl): done: 2 statements');
    expect(lines).toContain('split-full-name running: accounts-backfill runs');
    expect(lines.join()).not.toContain('rollout');
  });
  it('says nothing where nothing changed', () => {
    expect(changeLines(sampleStatus(), sampleStatus(), PROGRAM)).toEqual([]);
  });
  it('tells what is degraded once, and when it is well again', () => {
    const degraded = (words: string): Status =>
      sampleStatus({ degraded: [{ what: 'ramp', since: '2026-03-01T10:00:00Z', words }] });
    const lines = (before: Status, after: Status) => changeLines(before, after, PROGRAM);
    expect(lines(sampleStatus(), degraded('replica 1 is 3.2 s behind'))).toEqual([
      'degraded: ramp: replica 1 is 3.2 s behind',
    ]);
    expect(lines(degraded('replica 1 is 3.2 s behind'), degraded('replica 1 is 4.1 s behind'))).toEqual([]);
    expect(lines(degraded('replica 1 is 4.1 s behind'), sampleStatus())).toEqual(['ramp is well again']);
  });
  it('tells progress at each tenth part only', () => {
    expect(
      changeLines(
        withBackfill({ progress: progress(150_000) }),
        withBackfill({ progress: progress(170_000) }),
        PROGRAM,
      ),
    ).toEqual([]);
    expect(
      changeLines(
        withBackfill({ progress: progress(170_000) }),
        withBackfill({ progress: progress(181_000) }),
        PROGRAM,
      ),
    ).toEqual([
      'step accounts-backfill (backfill): running: 181,000 of 300,000  60%  12,000/s  1s left; throttled: replica lag 3 s',
    ]);
  });
  it('tells a new note, but not the same with other figures', () => {
    expect(changeLines(withBackfill({}), withBackfill({ note: 'throttled: replica lag 4.5 s' }), PROGRAM)).toEqual([]);
    expect(changeLines(withBackfill({}), withBackfill({ note: 'outside its window' }), PROGRAM)).toHaveLength(1);
  });
  it('tells how to decide a gate when it opens, once', () => {
    const open = sampleStatus({
      status: 'awaiting-approval',
      reason: 'migrate/after has 0 of 1',
      gates: [openGate()],
      links: { temporal: 'http://ui' },
    });
    expect(changeLines(sampleStatus(), open, PROGRAM)).toEqual([
      'split-full-name awaiting-approval: migrate/after has 0 of 1',
      'to approve migrate/after: npx switchback approve split-full-name migrate/after --as you@example.com',
      'to refuse migrate/after: npx switchback reject split-full-name migrate/after --as you@example.com',
      'or look at http://ui',
    ]);
    expect(changeLines(open, open, PROGRAM)).toEqual([]);
  });
  it('tells what was refused, and nothing of it twice', () => {
    const refusal = { message: 'approve', reason: '"by" is missing', at: '2026-03-01T10:00:00Z' };
    const after = sampleStatus({ refused: [refusal] });
    expect(changeLines(sampleStatus(), after, PROGRAM)).toEqual(['refused approve: "by" is missing']);
    expect(changeLines(after, after, PROGRAM)).toEqual([]);
  });
  it('tells when the answers come from the ledger, and when the run is back', () => {
    const away = sampleStatus({ source: 'ledger' });
    expect(changeLines(sampleStatus(), away, PROGRAM)).toEqual([
      'no worker answers: as the ledger had it at 2026-03-01 10:02:05Z',
    ]);
    expect(changeLines(away, sampleStatus(), PROGRAM)).toEqual(['the run answers again']);
  });
});
