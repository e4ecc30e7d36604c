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
  COUNT: [1, 10_000],
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
  const fault = partFault((rules[0] ?? '').slice('RRULE:'.length)) ?? lines.map(timeFault).find((one) => one !== null);
  if (fault != null) return fault;
  try {
    const rule = new RRuleTemporal({ rruleString: text, strict: true });
    return followFault(rule) ?? exceptionFault(rule, text);
  } catch (error) {
    return `not a calendar of RFC 5545: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Times that the library reads as others than they say, or passes over. */
function timeFault(line: string): string | null {
  const [head = '', times = ''] = line.split(/:(.*)/s);
  const [name = '', ...parameters] = head.split(';');
  if (name === 'RRULE') return null;
  const zoned = parameters.some((one) => one.startsWith('TZID='));
  if (zoned && /Z\b/.test(times)) return `${name}: a time that ends with Z is one of UTC; leave out either Z or TZID`;
  if (name === 'DTSTART') return null;
  if (parameters.includes('VALUE=PERIOD'))
    return `${name}: periods have no engine; write the starts, all are of one \`duration\``;
  const day = times.split(',').find((time) => !time.includes('T'));
  return day === undefined
    ? null
    : `${name} takes starts, as DTSTART gives them (20261224T010000), not the day ${JSON.stringify(day)}`;
}

/** How far a rule is followed before it is used, from its beginning on and in such steps. */
const FOLLOWED_DAYS = 3_650;
const FOLLOWED_EVERY_DAYS = 91;

/** Whether its starts can be found whenever they are asked for: the library gives up after so many steps of a rule. */
function followFault(rule: RRuleTemporal): string | null {
  const begins = rule.options().dtstart;
  try {
    if (rule.next(new Date(0), true) === null) return 'the window never opens';
    for (let days = 0; days <= FOLLOWED_DAYS; days += FOLLOWED_EVERY_DAYS) {
      const at = new Date(begins.epochMilliseconds + days * DAY_MS);
      rule.previous(at, true);
      if (rule.next(at, false) === null) break;
    }
    return null;
  } catch (error) {
    if (!(error as Error).message.startsWith('Maximum ')) throw error;
    return 'the window never opens, or so many steps of its FREQ apart that nobody can tell when; write a longer FREQ, or UNTIL instead of COUNT';
  }
}
const DAY_MS = 86_400_000;

/** An exception that is no start of the rule takes nothing away: its time or its zone is mistaken. */
function exceptionFault(rule: RRuleTemporal, text: string): string | null {
  const { exDate = [] } = rule.options();
  if (exDate.length === 0) return null;
  const whole = new RRuleTemporal({ rruleString: text.replaceAll(/^EXDATE.*(\r?\n|$)/gm, '').trim(), strict: true });
  const idle = exDate.find(
    (at) => whole.previous(new Date(at.epochMilliseconds), true)?.epochMilliseconds !== at.epochMilliseconds,
  );
  return idle === undefined ? null : `EXDATE takes nothing away: ${idle.toString()} is no start of the window`;
}

function partFault(rule: string): string | null {
  const seen = new Set<string>();
  for (const part of rule.split(';')) {
    const [name = '', value = ''] = part.split('=');
    if (seen.has(name)) return `RRULE has ${name} twice`;
    seen.add(name);
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
