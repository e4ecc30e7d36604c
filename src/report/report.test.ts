import { describe, expect, it } from 'vitest';
import { NO_FACTS, type ReportFacts } from './report-facts.ts';
import { reportHtml } from './report-html.ts';
import { reportMarkdown } from './report-markdown.ts';
import { sampleStatus } from './sample-status.test-data.ts';

const facts = (over: Partial<ReportFacts> = {}): ReportFacts => ({
  ...NO_FACTS,
  run: {
    version: 1,
    epoch: 1,
    generation: '3',
    direction: 'up',
    state: 'completed',
    startedAt: '2026-03-01T10:00:00.000Z',
    endedAt: '2026-03-01T11:30:00.000Z',
  },
  audit: [
    { at: '2026-03-01T10:00:01.000Z', type: 'run', by: 'ana@example.com', identity: null, data: { direction: 'up' } },
    {
      at: '2026-03-01T10:20:00.000Z',
      type: 'approved',
      by: 'bo@example.com',
      identity: 'claimed',
      data: { gate: 'migrate/after', comment: 'looks | fine', digest: 'd' },
    },
  ],
  steps: [
    {
      database: 'accounts-db',
      step: 'accounts-backfill',
      phase: 'migrate',
      kind: 'backfill',
      state: 'applied',
      note: null,
      intendedAt: '2026-03-01T10:05:00.000Z',
      appliedAt: '2026-03-01T10:19:00.000Z',
      undoneAt: null,
    },
  ],
  failures: [
    {
      step: 'accounts-backfill',
      direction: 'up',
      failures: 2,
      lastError: 'lock timeout',
      at: '2026-03-01T10:06:00.000Z',
    },
  ],
  lineage: [
    {
      database: 'accounts-db',
      object: 'public.users',
      step: 'accounts-backfill',
      direction: 'up',
      kind: 'backfill',
      rowsChanged: '9007199254740993',
      events: '300',
      before: '-1',
      after: '255',
      from: '2026-03-01T10:05:00.000Z',
      to: '2026-03-01T10:19:00.000Z',
    },
  ],
  ...over,
});
const done = sampleStatus({
  status: 'completed',
  reason: 'every phase is done',
  updatedAt: '2026-03-01T11:30:00.000Z',
});

describe('reportMarkdown', () => {
  const text = reportMarkdown(done, facts());
  it('begins with the outcome', () => {
    expect(text.startsWith('# split-full-name version 1 completed\n\nevery phase is done\n\n## Outcome')).toBe(true);
    expect(text).toContain('| Took | 1h 30m |');
  });
  it('lists decisions apart from the engine’s own events', () => {
    const decisions = text.slice(text.indexOf('## Decisions'), text.indexOf('## Timeline'));
    expect(decisions).toContain(
      '| 2026-03-01 10:20:00Z | approved | bo@example.com | claimed | gate migrate/after, comment looks \\| fine |',
    );
    expect(decisions).not.toContain('| run |');
    expect(text.slice(text.indexOf('## Timeline'))).toContain('| run |');
  });
  it('keeps counts that a JavaScript number would round', () => {
    expect(text).toContain('| 9,007,199,254,740,993 |');
  });
  it('lists altered ranges, with keys as they were made fit for people', () => {
    const at = '2026-03-01T10:05:00.000Z';
    const range = {
      ...{
        database: 'accounts-db',
        schema: 'public',
        table: 'users',
        migration: 'split-full-name',
        version: 1,
        epoch: 1,
      },
      ...({ step: 'accounts-backfill', kind: 'backfill', direction: 'up', lower: '#0a1b2c3d4e', upper: null } as const),
      ...{ rows: '1200', keys: '1300', before: null, after: '16', by: 'ana', at },
    };
    const with2 = reportMarkdown(done, facts({ ranges: [range], rangesLeftOut: 2 }));
    expect(with2).toContain('## Altered ranges (2 older ones left out)');
    expect(with2).toContain(
      '| 2026-03-01 10:05:00Z | accounts-db/public.users | accounts-backfill | backfill | keys after #0a1b2c3d4e | 1,200 | ? → 0000000000000010 | ana |',
    );
    expect(text).toContain('| 300 | ffffffffffffffff → 00000000000000ff |');
  });
  it('tells when a step began, ended and how often it failed', () => {
    expect(text).toMatch(/accounts-backfill .*2026-03-01 10:05:00Z \| 2026-03-01 10:19:00Z \|/);
    expect(text).toContain('| accounts-backfill | up | 2 | 2026-03-01 10:06:00Z | lock timeout |');
  });
  it('leaves out what there is none of, and names what could not be read', () => {
    expect(text).not.toContain('Refused');
    expect(text).not.toContain('could not be read');
    expect(reportMarkdown(done, facts({ unread: [{ database: 'billing-db', reason: 'refused' }] }))).toContain(
      '| billing-db | refused |',
    );
  });
});

describe('reportHtml', () => {
  it('takes markup in texts literally', () => {
    const evil = '<script>alert("x")</script>';
    const html = reportHtml(
      { ...done, reason: evil, refused: [{ message: evil, reason: evil, at: '2026-03-01T10:00:00Z' }] },
      facts(),
    );
    expect(html).not.toContain('<script');
    expect(html.match(/&lt;script&gt;alert\(&quot;x&quot;\)/g)).toHaveLength(3);
  });
  it('links what is a web address, and only that', () => {
    const html = reportHtml(
      { ...done, links: { temporal: 'http://ui/a?b=1&c', other: 'javascript:alert(1)' } },
      facts(),
    );
    expect(html).toContain('<a href="http://ui/a?b=1&amp;c"');
    expect(html).not.toContain('href="javascript');
  });
});
