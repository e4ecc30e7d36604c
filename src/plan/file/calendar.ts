import { RRuleTemporal } from 'rrule-temporal';
import type { Draft } from '../draft.ts';
import { type Finding, invalid } from '../finding.ts';

/** What is wrong with the calendars of `allow` windows: RFC 5545, a DTSTART with its zone and an RRULE. */
export function calendarFindings(draft: Draft): Finding[] {
  return draft.windows.flatMap(({ path, window }) => {
    if (!('allow' in window)) return [];
    const fault = calendarFault(window.allow);
    return fault === null ? [] : [invalid([...path, 'allow'], fault, { found: JSON.stringify(window.allow) })];
  });
}

const EXAMPLE = '"DTSTART;TZID=Europe/Oslo:20260101T010000\\nRRULE:FREQ=DAILY"';
const LINES = ['DTSTART', 'RRULE', 'RDATE', 'EXDATE'];

/** The parts of a rule, and the numbers that those of numbers may hold (RFC 5545, 3.3.10); the library takes others. */
const PARTS: Record<string, [low: number, high: number] | null> = {
  FREQ: null,
  UNTIL: null,
  WKST: null,
  BYDAY: null,
  COUNT: [1, 100_000],
  INTERVAL: [1, 100_000],
  BYSECOND: [0, 60],
  BYMINUTE: [0, 59],
  BYHOUR: [0, 23],
  BYMONTHDAY: [1, 31],
  BYYEARDAY: [1, 366],
  BYWEEKNO: [1, 53],
  BYMONTH: [1, 12],
  BYSETPOS: [1, 366],
};
const FROM_THE_END = new Set(['BYMONTHDAY', 'BYYEARDAY', 'BYWEEKNO', 'BYSETPOS']);

function calendarFault(calendar: string): string | null {
  const text = calendar.trim();
  const lines = text.split(/\r?\n/);
  const other = lines.find((line) => !LINES.includes(line.split(/[;:]/)[0] ?? ''));
  if (other !== undefined) return `the line ${JSON.stringify(other)} is none of ${LINES.join(', ')}`;
  const start = lines.filter((line) => line.startsWith('DTSTART'));
  const rules = lines.filter((line) => line.startsWith('RRULE:'));
  if (start.length !== 1) return `expected one DTSTART; lines such as ${EXAMPLE}`;
  if (rules.length !== 1) return `expected one RRULE; lines such as ${EXAMPLE}`;
  if (!/;TZID=/.test(start[0] ?? '') && !(start[0] ?? '').endsWith('Z')) {
    return 'DTSTART has no time zone: write DTSTART;TZID=Europe/Oslo:…, or a time that ends with Z';
  }
  const part = partFault((rules[0] ?? '').slice('RRULE:'.length));
  if (part !== null) return part;
  try {
    const rule = new RRuleTemporal({ rruleString: text, strict: true });
    return rule.next(new Date(0), true) === null ? 'the window never opens' : null;
  } catch (error) {
    return `not a calendar of RFC 5545: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function partFault(rule: string): string | null {
  for (const part of rule.split(';')) {
    const [name = '', value = ''] = part.split('=');
    const range = PARTS[name];
    if (range === undefined)
      return `RRULE has no part ${JSON.stringify(name)}; it has ${Object.keys(PARTS).join(', ')}`;
    if (range === null) continue;
    const [low, high] = range;
    for (const item of value.split(',')) {
      const size = FROM_THE_END.has(name) ? item.replace(/^[+-]/, '') : item;
      if (!/^\d{1,6}$/.test(size) || Number(size) < low || Number(size) > high) {
        return `RRULE: ${name} takes ${low} to ${high}, not ${JSON.stringify(item)}`;
      }
    }
  }
  return null;
}
