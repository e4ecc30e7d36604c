import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Window } from '../plan/index.ts';
import { nextOpening } from './window.ts';

const nightly: Window = { allow: 'DTSTART;TZID=Europe/Oslo:20260101T010000\nRRULE:FREQ=DAILY', duration: '5h' };
const freeze: Window = { deny: 'year-end', from: '2026-12-18', to: '2027-01-04' };
const at = (instant: string) => new Date(instant);
const look = (windows: Window[], instant: string) => nextOpening(windows, 'backfill', at(instant));

describe('nextOpening', () => {
  test('without windows it is always open', () => {
    expect(look([], '2026-06-01T12:00:00Z')).toEqual({ open: true, changesAt: null, why: 'no window closes it' });
  });

  test('knows the zone of a window, in summer and in winter', () => {
    expect(look([nightly], '2026-07-01T12:00:00Z')).toMatchObject({
      open: false,
      changesAt: '2026-07-01T23:00:00.000Z',
    });
    expect(look([nightly], '2026-01-10T12:00:00Z')).toMatchObject({
      open: false,
      changesAt: '2026-01-11T00:00:00.000Z',
    });
  });

  test('opens at its start and is closed at its end', () => {
    expect(look([nightly], '2026-07-01T23:00:00Z')).toMatchObject({
      open: true,
      changesAt: '2026-07-02T04:00:00.000Z',
    });
    expect(look([nightly], '2026-07-02T03:59:59.999Z').open).toBe(true);
    expect(look([nightly], '2026-07-02T04:00:00Z').open).toBe(false);
  });

  test('lasts its duration in exact time over a change of the clocks', () => {
    // Oslo goes from 02:00 to 03:00 on 29 March and from 03:00 to 02:00 on 25 October 2026.
    expect(look([nightly], '2026-03-29T00:30:00Z').changesAt).toBe('2026-03-29T05:00:00.000Z');
    expect(look([nightly], '2026-10-25T00:30:00Z').changesAt).toBe('2026-10-25T04:00:00.000Z');
  });

  test('a start that the clocks skip does not take place', () => {
    const skipped: Window = { allow: 'DTSTART;TZID=Europe/Oslo:20260101T023000\nRRULE:FREQ=DAILY', duration: '1h' };
    expect(look([skipped], '2026-03-28T12:00:00Z').changesAt).toBe('2026-03-30T00:30:00.000Z');
  });

  test('several windows are a union', () => {
    const later: Window = { allow: 'DTSTART:20260101T040000Z\nRRULE:FREQ=DAILY', duration: '2h' };
    // Winter: 00:00–05:00Z and 04:00–06:00Z.
    expect(look([nightly, later], '2026-01-10T01:00:00Z').changesAt).toBe('2026-01-10T06:00:00.000Z');
  });

  test('one that joins the next never seems to close', () => {
    const always: Window = { allow: 'DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY', duration: '24h' };
    const { open, changesAt } = look([always], '2026-06-01T12:00:00Z');
    expect(open).toBe(true);
    expect(at(changesAt ?? '').getTime()).toBeGreaterThan(at('2027-06-01T00:00:00Z').getTime());
  });

  test('a freeze wins, its last day included', () => {
    expect(look([freeze], '2026-12-17T23:59:59Z')).toMatchObject({ open: true, changesAt: '2026-12-18T00:00:00.000Z' });
    expect(look([freeze], '2027-01-04T23:59:59Z')).toEqual({
      open: false,
      changesAt: '2027-01-05T00:00:00.000Z',
      why: 'denied by year-end; opens at 2027-01-05T00:00:00.000Z',
    });
    expect(look([nightly, freeze], '2026-12-20T12:00:00Z').changesAt).toBe('2027-01-05T00:00:00.000Z');
    expect(look([nightly, freeze], '2026-12-17T23:30:00Z').open).toBe(false);
  });

  test('a freeze with times ends at its instant', () => {
    const hours: Window = { deny: 'launch', from: '2026-05-01T08:00:00+02:00', to: '2026-05-01T12:00:00+02:00' };
    expect(look([hours], '2026-05-01T07:00:00Z').changesAt).toBe('2026-05-01T10:00:00.000Z');
  });

  test('counts only windows that apply to the kind', () => {
    const forDdl: Window = { ...nightly, applies: ['ddl'] };
    expect(look([forDdl], '2026-07-01T12:00:00Z').open).toBe(true);
    expect(nextOpening([forDdl], 'ddl', at('2026-07-01T12:00:00Z')).open).toBe(false);
  });

  test('a rule that has ended never opens again', () => {
    const once: Window = { allow: 'DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY;COUNT=1', duration: '1h' };
    expect(look([once], '2026-02-01T00:00:00Z')).toEqual({
      open: false,
      changesAt: null,
      why: 'outside of the windows that allow it; no window opens again',
    });
  });

  test('a rule that can not be read is an error of the plan', () => {
    expect(() => look([{ allow: 'RRULE:FREQ=DAILY', duration: '1h' }], '2026-02-01T00:00:00Z')).toThrow(
      /DTSTART|dtstart/,
    );
  });

  test('between now and changesAt nothing changes, and at changesAt it does', () => {
    const start = at('2026-01-01T00:00:00Z').getTime();
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 400 * 24 * 60 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (minutes, share) => {
          const now = new Date(start + minutes * 60_000);
          const { open, changesAt } = nextOpening([nightly, freeze], 'backfill', now);
          const change = at(changesAt ?? '').getTime();
          const between = new Date(Math.min(now.getTime() + share * (change - now.getTime()), change - 1));
          expect(nextOpening([nightly, freeze], 'backfill', between)).toMatchObject({ open, changesAt });
          expect(nextOpening([nightly, freeze], 'backfill', new Date(change)).open).toBe(!open);
        },
      ),
      { numRuns: 60 },
    );
  });
});
