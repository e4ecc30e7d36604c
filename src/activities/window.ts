import { RRuleTemporal } from 'rrule-temporal';
import { SwitchbackError } from '../messages/index.ts';
import { durationMs, type Kind, type Window } from '../plan/index.ts';

/** Whether work of a kind may run now, and until or from when. */
export interface Opening {
  open: boolean;
  /**
   * When that changes (ISO 8601, UTC), or null where it never does. It may also be a time far away at which nothing
   * changes: who comes then asks again.
   */
  changesAt: string | null;
  /** One sentence for people, with the time in UTC and in the zone of the window that decides. */
  why: string;
}

/** A window that joins the next without a gap is followed this often before the answer is 'ask again then'. */
const BOUNDARIES_MAX = 500;
/** Nothing runs while these wait: their time is that of people and clocks. */
const NEEDS_NO_WINDOW: readonly Kind[] = ['wait', 'approval'];

/**
 * Windows of RFC 5545 (RRULE with DTSTART and TZID; the duration is exact time, also over a change of the clocks, and
 * a start that the clocks skip doesn't take place). Allow windows are a union; where none applies to the kind, it is
 * always allowed. Deny windows win. Their days are whole days of their time zone (UTC where they name none), the last
 * one included. Pure: needs only `now`.
 *
 * @throws SwitchbackError PlanInvalid where a rule can't be read
 */
export function nextOpening(windows: readonly Window[], kind: Kind, now: Date): Opening {
  const applying = NEEDS_NO_WINDOW.includes(kind)
    ? []
    : windows.filter((window) => window.applies === undefined || window.applies.includes(kind));
  const allows = applying.filter((window) => 'allow' in window).map(allowOf);
  const denies = applying.filter((window) => 'deny' in window).map(denyOf);
  const at = now.getTime();
  const state = stateAt(allows, denies, at);
  const change = changeAfter(allows, denies, at, state.open);
  const changesAt = change === null ? null : new Date(change.ms).toISOString();
  const when = change === null ? null : timeWords(change.ms, zoneAt(allows, denies, change.ms, state.open));
  return { open: state.open, changesAt, why: whyOf(state, when, change?.seen !== false) };
}

interface Allow {
  rule: RRuleTemporal;
  durationMs: number;
  zone: string;
}
interface Deny {
  name: string;
  fromMs: number;
  toMs: number;
  zone: string;
}
/** `nextMs`: the next moment at which the state may change; null where it never does. */
type State = { open: boolean; nextMs: number | null; because: string | null };

function stateAt(allows: readonly Allow[], denies: readonly Deny[], at: number): State {
  const active = denies.filter((deny) => deny.fromMs <= at && at < deny.toMs);
  if (active.length > 0) {
    const nextMs = Math.max(...active.map((deny) => deny.toMs));
    return { open: false, nextMs, because: active.map((deny) => deny.name).join(', ') };
  }
  const closes = allows.map((allow) => closesAt(allow, at)).filter((ms) => ms !== null);
  if (allows.length > 0 && closes.length === 0) {
    return { open: false, nextMs: least(allows.map((allow) => startAfter(allow, at))), because: null };
  }
  const denied = denies.map((deny) => deny.fromMs).filter((from) => from > at);
  return {
    open: true,
    nextMs: least([...denied, ...(closes.length === 0 ? [] : [Math.max(...closes)])]),
    because: null,
  };
}

/** When the state changes; not `seen` where it was followed no further: then it is a time to ask again. */
function changeAfter(
  allows: readonly Allow[],
  denies: readonly Deny[],
  from: number,
  open: boolean,
): { ms: number; seen: boolean } | null {
  let at = from;
  for (let boundaries = 0; boundaries < BOUNDARIES_MAX; boundaries++) {
    const { nextMs } = stateAt(allows, denies, at);
    if (nextMs === null) return null;
    at = nextMs;
    if (stateAt(allows, denies, at).open !== open) return { ms: at, seen: true };
  }
  return { ms: at, seen: false };
}

/** The time zone of the window that opens, or closes, at `at`: people think of it in that one. */
function zoneAt(allows: readonly Allow[], denies: readonly Deny[], at: number, closes: boolean): string {
  const denied = denies.find((deny) => (closes ? deny.fromMs : deny.toMs) === at);
  const allowed = allows.find((allow) => closesAt(allow, closes ? at - 1 : at) !== null);
  return denied?.zone ?? allowed?.zone ?? UTC;
}

/** When the window that is open at `at` closes; null where none is. The latest start decides: all are of one length. */
function closesAt({ rule, durationMs: length }: Allow, at: number): number | null {
  const start = rule.previous(new Date(at), true)?.epochMilliseconds;
  return start !== undefined && at < start + length ? start + length : null;
}

const startAfter = ({ rule }: Allow, at: number): number | null =>
  rule.next(new Date(at), false)?.epochMilliseconds ?? null;

const least = (times: readonly (number | null)[]): number | null => {
  const known = times.filter((time) => time !== null);
  return known.length === 0 ? null : Math.min(...known);
};

const UTC = 'UTC';

function allowOf(window: Extract<Window, { allow: string }>): Allow {
  const text = window.allow.trim();
  try {
    return {
      rule: new RRuleTemporal({ rruleString: text, strict: true }),
      durationMs: durationMs(window.duration),
      zone: /^DTSTART[^:]*;TZID=([^:;]+)/m.exec(text)?.[1] ?? UTC,
    };
  } catch (error) {
    throw new SwitchbackError(
      'PlanInvalid',
      `a window's rule can't be read (${(error as Error).message}): ${window.allow}`,
      {
        hint: 'write DTSTART and RRULE of RFC 5545, a line each: DTSTART;TZID=Europe/Oslo:20260101T010000 and RRULE:FREQ=DAILY',
        cause: error,
      },
    );
  }
}

function denyOf({ deny, from, to, timezone = UTC }: Extract<Window, { deny: string }>): Deny {
  return {
    name: deny,
    fromMs: isDay(from) ? startOfDay(from, timezone, 0) : Date.parse(from),
    toMs: isDay(to) ? startOfDay(to, timezone, 1) : Date.parse(to),
    zone: timezone,
  };
}
const isDay = (text: string): boolean => /^\d{4}-\d\d-\d\d$/.test(text);

/** When a day, or one `later`, begins there: not always at midnight, which the clocks of some zones skip. */
function startOfDay(day: string, zone: string, later: number): number {
  const noon = `DTSTART;TZID=${zone}:${day.replaceAll('-', '')}T120000`;
  const [at] = new RRuleTemporal({ rruleString: `${noon}\nRRULE:FREQ=DAILY;COUNT=1` }).all();
  if (at === undefined) throw new Error(`no noon on ${day} in ${zone}`);
  return at.add({ days: later }).startOfDay().epochMilliseconds;
}

function whyOf({ open, because }: State, when: string | null, seen: boolean): string {
  if (open) {
    if (when === null) return 'no window closes it';
    return `a window is open ${seen ? 'until' : 'at least until'} ${when}`;
  }
  const what = because === null ? 'outside of the windows that allow it' : `denied by ${because}`;
  return when === null ? `${what}; no window opens again` : `${what}; may go next at ${when}`;
}

/** `2026-12-01T00:00:00Z (01:00 Europe/Oslo)`; with its day where that is another one there. */
function timeWords(ms: number, zone: string): string {
  const utc = new Date(ms).toISOString().replace('.000Z', 'Z');
  if (zone === UTC) return utc;
  const there = Object.fromEntries(
    new Intl.DateTimeFormat('en', { timeZone: zone, ...WALL_CLOCK })
      .formatToParts(ms)
      .map((part) => [part.type, part.value]),
  );
  const day = `${there['year']}-${there['month']}-${there['day']}`;
  return `${utc} (${utc.startsWith(day) ? '' : `${day} `}${there['hour']}:${there['minute']} ${zone})`;
}
const WALL_CLOCK = {
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
} as const;
