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
  /** One sentence for people. */
  why: string;
}

/** A window that joins the next without a gap is followed this often before the answer is 'ask again then'. */
const BOUNDARIES_MAX = 500;
const DAY_MS = 86_400_000;

/**
 * Windows of RFC 5545 (RRULE with DTSTART and TZID; the duration is exact time, also over a change of the clocks, and
 * a start that the clocks skip doesn't take place). Allow windows are a union; where none applies to the kind, it is
 * always allowed. Deny windows win. Days are whole days of UTC, the last one included. Pure: needs only `now`.
 *
 * @throws SwitchbackError PlanInvalid where a rule can't be read
 */
export function nextOpening(windows: readonly Window[], kind: Kind, now: Date): Opening {
  const applying = windows.filter((window) => window.applies === undefined || window.applies.includes(kind));
  const allows = applying.filter((window) => 'allow' in window).map(allowOf);
  const denies = applying.filter((window) => 'deny' in window).map(denyOf);
  const at = now.getTime();
  const state = stateAt(allows, denies, at);
  const changesAtMs = changeAfter(allows, denies, at, state.open);
  const changesAt = changesAtMs === null ? null : new Date(changesAtMs).toISOString();
  return { open: state.open, changesAt, why: whyOf(state, changesAt) };
}

interface Allow {
  rule: RRuleTemporal;
  durationMs: number;
}
interface Deny {
  name: string;
  fromMs: number;
  toMs: number;
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

function changeAfter(allows: readonly Allow[], denies: readonly Deny[], from: number, open: boolean): number | null {
  let at = from;
  for (let boundaries = 0; boundaries < BOUNDARIES_MAX; boundaries++) {
    const { nextMs } = stateAt(allows, denies, at);
    if (nextMs === null) return null;
    at = nextMs;
    if (stateAt(allows, denies, at).open !== open) return at;
  }
  return at;
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

function allowOf(window: Extract<Window, { allow: string }>): Allow {
  try {
    return {
      rule: new RRuleTemporal({ rruleString: window.allow.trim(), strict: true }),
      durationMs: durationMs(window.duration),
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

function denyOf({ deny, from, to }: Extract<Window, { deny: string }>): Deny {
  return { name: deny, fromMs: Date.parse(from), toMs: Date.parse(to) + (isDay(to) ? DAY_MS : 0) };
}
const isDay = (text: string): boolean => /^\d{4}-\d\d-\d\d$/.test(text);

function whyOf({ open, because }: State, changesAt: string | null): string {
  if (open) return changesAt === null ? 'no window closes it' : `a window is open until ${changesAt}`;
  const what = because === null ? 'outside of the windows that allow it' : `denied by ${because}`;
  return changesAt === null ? `${what}; no window opens again` : `${what}; opens at ${changesAt}`;
}
