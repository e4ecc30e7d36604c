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

function calendarFault(text: string): string | null {
  const lines = text.trim().split(/\r?\n/);
  if (!lines.some((line) => line.startsWith('DTSTART'))) return `DTSTART is missing; expected lines such as ${EXAMPLE}`;
  if (!lines.some((line) => line.startsWith('RRULE:'))) return `RRULE is missing; expected lines such as ${EXAMPLE}`;
  try {
    const rule = new RRuleTemporal({ rruleString: text.trim(), strict: true });
    return rule.next(new Date(0), true) === null ? 'the calendar never opens' : null;
  } catch (error) {
    return `not a calendar of RFC 5545: ${error instanceof Error ? error.message : String(error)}`;
  }
}
