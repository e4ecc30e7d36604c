import { describe, expect, it } from 'vitest';
import { columnsOf } from './plain-text.ts';
import { openGate, sampleStatus } from './sample-status.test-data.ts';
import { statusLines, statusText } from './status-text.ts';

const options = { width: 120, color: false, program: 'npx switchback', now: new Date('2026-03-01T10:02:05Z') };

describe('statusText', () => {
  it('shows what goes on, each step, its bar and figures', () => {
    expect(statusText(sampleStatus(), options)).toBe(
      [
        'split-full-name v1  running',
        '  accounts-backfill runs',
        '  for 2m 05s, requested by ana@example.com, owner team-identity, risk moderate',
        '',
        '✓ expand',
        '  ✓ accounts-columns   ddl         2 statements',
        '  ✓ billing-columns    ddl',
        '▸ migrate  running',
        '  ▸ accounts-backfill  backfill    ████████████░░░░░░░░░░░░ 150,000 of 300,000  50%  12,000/s  12s left',
        '                                   throttled: replica lag 3 s',
        '  · accounts-verify    verify',
        '· rollout',
        '  · ramp               rollout',
      ].join('\n'),
    );
  });

  it('counts down to the window that a step waits for, and up since something is degraded', () => {
    const sample = sampleStatus({
      degraded: [{ what: 'migrate/guards', since: '2026-03-01T10:01:05Z', words: 'errors: no answer (1 of 3)' }],
    });
    const [expand, migrate] = sample.phases;
    if (expand === undefined || migrate === undefined) throw new Error('the sample has lost its phases');
    const waiting = {
      ...(migrate.steps[0] ?? { id: 'accounts-backfill', uses: 'backfill' }),
      state: 'waiting' as const,
      progress: null,
      note: 'outside of the windows that allow it',
      nextAt: '2026-03-01T13:14:05Z',
    };
    const lines = statusLines({ ...sample, phases: [expand, { ...migrate, steps: [waiting] }] }, options);
    expect(lines[2]).toBe('  degraded for 1m 00s: migrate/guards: errors: no answer (1 of 3)');
    expect(lines.at(-1)).toContain('waiting: goes in 3h 12m, outside of the windows that allow it');
  });

  it('says how to decide an open gate, whole and copyable however narrow the terminal is', () => {
    const status = sampleStatus({
      status: 'awaiting-approval',
      gates: [openGate({ approvedBy: ['bo@example.com'], min: 2 })],
      links: { temporal: 'http://localhost:8233/namespaces/default/workflows/migration%2Fsplit-full-name/0190' },
    });
    const lines = statusLines(status, { ...options, width: 50 });
    expect(lines).toContain('    npx switchback approve split-full-name migrate/after --as you@example.com');
    expect(lines).toContain(
      '  temporal: http://localhost:8233/namespaces/default/workflows/migration%2Fsplit-full-name/0190',
    );
    expect(lines.find((line) => line.includes('1 of 2 approvals'))).toBeDefined();
  });

  it.each([30, 40, 60, 80, 200])('keeps the table within %i columns', (width) => {
    const status = sampleStatus({
      reason: 'a reason of many words that has to be broken somewhere because it is long',
    });
    const widest = Math.max(...statusLines(status, { ...options, width }).map(columnsOf));
    expect(widest).toBeLessThanOrEqual(width);
  });

  it('shrinks idle phases to a line where the terminal is low, and never the phase at work', () => {
    const lines = statusLines(sampleStatus(), { ...options, rowsMax: 10 });
    expect(lines).toContain('✓ expand  2 steps');
    expect(lines).toContain('· rollout  1 step');
    expect(lines.some((line) => line.includes('150,000 of 300,000'))).toBe(true);
    expect(lines.length).toBeLessThanOrEqual(10);
  });

  it('says that more is there when not even that fits', () => {
    const lines = statusLines(sampleStatus(), { ...options, rowsMax: 7 });
    expect(lines.length).toBeLessThanOrEqual(7);
    expect(lines.some((line) => /… \d+ more lines/.test(line))).toBe(true);
  });

  it('lets no control character through, wherever it stands', () => {
    const evil = '\u001b[2J\u0007rubbish\nsecond\u202e';
    const status = sampleStatus({
      reason: evil,
      requestedBy: evil,
      refused: [{ message: evil, reason: evil, at: '2026-03-01T10:00:00Z' }],
      phases: [
        {
          name: 'one',
          state: 'running',
          steps: [{ id: 'a', uses: 'ddl', state: 'failed', progress: null, note: evil }],
        },
      ],
    });
    const text = statusText(status, options);
    // biome-ignore lint: the control characters are what is looked for
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
    expect(text).toContain('failed: [2Jrubbish second');
  });

  it('cuts no reason of a refusal, however narrow the screen', () => {
    const reason = 'you@example.com holds none of the roles asked for: dba';
    const message = `approve ${JSON.stringify({ gate: 'migrate/after', by: 'you@example.com' })}`;
    const text = statusText(sampleStatus({ refused: [{ message, reason, at: '2026-03-01T10:00:00Z' }] }), {
      ...options,
      width: 40,
    });
    expect(text.replace(/\s+/g, ' ')).toContain(reason);
  });

  it('colours only when asked', () => {
    expect(statusText(sampleStatus(), options)).not.toContain('\u001b');
    expect(statusText(sampleStatus(), { ...options, color: true })).toContain('\u001b[36mrunning\u001b[0m');
  });

  it('says that an answer comes from the ledger, and of when', () => {
    const text = statusText(sampleStatus({ source: 'ledger' }), options);
    expect(text).toContain('no worker answers: as the ledger had it at 2026-03-01 10:02:05Z');
  });

  it('shows the error’s hint and leads to the report in the end', () => {
    const status = sampleStatus({
      status: 'rolled-back',
      reason: 'rolled back: a guard tripped',
      error: { code: 'GuardTripped', message: 'a guard tripped', hint: 'look at the error rate', step: 'ramp' },
      updatedAt: '2026-03-01T11:00:00.000Z',
    });
    const lines = statusLines(status, options);
    expect(lines).toContain('  look at the error rate');
    expect(lines[3]).toMatch(/^ {2}took 1h 00m,/);
    expect(lines.at(-1)).toContain('npx switchback report split-full-name');
  });
});
