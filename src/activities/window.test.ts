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
      why: 'denied by year-end; may go next at 2027-01-05T00:00:00Z',
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

  test('says when it may go next, in UTC and as the clock of the window has it', () => {
    expect(look([nightly], '2026-11-30T12:00:00Z').why).toBe(
      'outside of the windows that allow it; may go next at 2026-12-01T00:00:00Z (01:00 Europe/Oslo)',
    );
    expect(look([nightly], '2026-07-01T12:00:00Z').why).toContain(
      '2026-07-01T23:00:00Z (2026-07-02 01:00 Europe/Oslo)',
    );
    expect(look([nightly], '2026-12-01T02:00:00Z').why).toBe(
      'a window is open until 2026-12-01T05:00:00Z (06:00 Europe/Oslo)',
    );
  });

  test('days of a freeze are those of its time zone', () => {
    const local: Window = { ...freeze, timezone: 'America/New_York' };
    expect(look([local], '2026-12-18T04:59:59Z').open).toBe(true);
    expect(look([local], '2026-12-18T05:00:00Z')).toMatchObject({
      open: false,
      why: 'denied by year-end; may go next at 2027-01-05T05:00:00Z (00:00 America/New_York)',
    });
    // In Cairo the clocks go from 24:00 to 01:00: on 24 April 2026 there is no midnight.
    const cairo: Window = { deny: 'day', from: '2026-04-24', to: '2026-04-24', timezone: 'Africa/Cairo' };
    expect(look([cairo], '2026-04-23T12:00:00Z').changesAt).toBe('2026-04-23T22:00:00.000Z');
    expect(look([cairo], '2026-04-24T12:00:00Z').changesAt).toBe('2026-04-24T21:00:00.000Z');
  });

  test('deny wins over a window that it cuts in two', () => {
    const hour: Window = { deny: 'launch', from: '2026-07-02T01:00:00Z', to: '2026-07-02T02:00:00Z' };
    expect(look([nightly, hour], '2026-07-02T00:00:00Z')).toMatchObject({
      open: true,
      changesAt: '2026-07-02T01:00:00.000Z',
    });
    expect(look([nightly, hour], '2026-07-02T01:30:00Z')).toMatchObject({
      open: false,
      changesAt: '2026-07-02T02:00:00.000Z',
    });
    expect(look([nightly, hour], '2026-07-02T02:00:00Z')).toMatchObject({
      open: true,
      changesAt: '2026-07-02T04:00:00.000Z',
    });
  });

  test.each([
    ['the last Friday of a month', 'FREQ=MONTHLY;BYDAY=-1FR', '', '2026-11-01T00:00:00Z', '2026-11-27T00:00:00.000Z'],
    ['workdays', 'FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR', '', '2026-11-27T12:00:00Z', '2026-11-30T00:00:00.000Z'],
    ['every other week', 'FREQ=WEEKLY;INTERVAL=2;WKST=SU', '', '2026-01-03T00:00:00Z', '2026-01-15T00:00:00.000Z'],
    [
      'the last working day',
      'FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1',
      '',
      '2026-10-31T00:00:00Z',
      '2026-11-30T00:00:00.000Z',
    ],
    ['until a day', 'FREQ=DAILY;UNTIL=20260105T000000Z', '', '2026-01-05T12:00:00Z', null],
    ['so many times', 'FREQ=DAILY;COUNT=3', '', '2026-01-02T12:00:00Z', '2026-01-03T00:00:00.000Z'],
    [
      'not on Christmas Eve',
      'FREQ=DAILY',
      'EXDATE;TZID=Europe/Oslo:20261224T010000',
      '2026-12-23T12:00:00Z',
      '2026-12-25T00:00:00.000Z',
    ],
    [
      'and once more',
      'FREQ=DAILY;COUNT=1',
      'RDATE;TZID=Europe/Oslo:20260301T010000',
      '2026-02-01T00:00:00Z',
      '2026-03-01T00:00:00.000Z',
    ],
    ['leap days', 'FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29', '', '2026-03-01T00:00:00Z', '2028-02-29T00:00:00.000Z'],
  ])('%s', (_, rule, more, now, opens) => {
    const allow = ['DTSTART;TZID=Europe/Oslo:20260101T010000', `RRULE:${rule}`, more]
      .filter((line) => line !== '')
      .join('\n');
    expect(look([{ allow, duration: '2h' }], now)).toMatchObject({ open: false, changesAt: opens });
  });

  test('a rule for every second is followed for a while only', () => {
    const dense: Window = { allow: 'DTSTART:20000101T000000Z\nRRULE:FREQ=SECONDLY', duration: '1s' };
    const { open, changesAt, why } = look([dense], '2026-06-01T12:00:00Z');
    expect(open).toBe(true);
    expect(why).toBe(`a window is open at least until ${changesAt?.replace('.000Z', 'Z')}`);
  });
});

/** What the clock on the wall says in a zone. */
const wallClock = (zone: string) => {
  const format = new Intl.DateTimeFormat('en', {
    timeZone: zone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  return (ms: number): { day: string; time: string } => {
    const part = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
    return { day: `${part['year']}-${part['month']}-${part['day']}`, time: `${part['hour']}${part['minute']}` };
  };
};

/** Changes of the clocks: an hour, half an hour (Lord Howe), at midnight (Cairo), none (Tokyo). */
const CHANGES = [
  ['Europe/Oslo', '2026-03-29'],
  ['Europe/Oslo', '2026-10-25'],
  ['America/New_York', '2026-03-08'],
  ['America/New_York', '2026-11-01'],
  ['Australia/Lord_Howe', '2026-04-05'],
  ['Australia/Lord_Howe', '2026-10-04'],
  ['Africa/Cairo', '2026-04-24'],
  ['Africa/Cairo', '2026-10-30'],
  ['Asia/Tokyo', '2026-04-05'],
] as const;

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const QUARTER_MS = 15 * 60_000;

/** The spans in which a window is open, found by going from change to change. */
function openSpans(window: Window, from: number, to: number): [string, string][] {
  const spans: [string, string][] = [];
  for (let ms = from; ms < to; ) {
    const { open, changesAt } = nextOpening([window], 'ddl', new Date(ms));
    if (open) spans.push([new Date(ms).toISOString(), changesAt ?? '']);
    ms = Date.parse(changesAt ?? '');
  }
  return spans;
}

describe('a daily window over a change of the clocks', () => {
  test.each(CHANGES)('in %s round %s it opens when the wall clock first shows its time, and lasts', (zone, day) => {
    const clock = wallClock(zone);
    const begin = Date.parse(`${day}T00:00:00Z`) - 2 * DAY_MS;
    const end = begin + 4 * DAY_MS;
    for (const [time, hours] of [
      ['0030', 1],
      ['0145', 2],
      ['0200', 1],
      ['0215', 5],
      ['0230', 3],
      ['2300', 4],
    ] as const) {
      const expected: [string, string][] = [];
      const days = new Set<string>();
      // A day before, so that one which is open at the beginning is known.
      for (let ms = begin - DAY_MS; ms < end; ms += QUARTER_MS) {
        const shown = clock(ms);
        if (shown.time !== time || days.has(shown.day)) continue;
        days.add(shown.day);
        const closes = ms + hours * HOUR_MS;
        if (closes > begin)
          expected.push([new Date(Math.max(ms, begin)).toISOString(), new Date(closes).toISOString()]);
      }
      const window: Window = {
        allow: `DTSTART;TZID=${zone}:20250101T${time}00\nRRULE:FREQ=DAILY`,
        duration: `${hours}h`,
      };
      expect({ time, spans: openSpans(window, begin, end) }).toEqual({ time, spans: expected });
    }
  });
});
