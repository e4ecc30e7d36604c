/**
 * What people and services may send to a running migration, as a signal or an update of the same name, and how an
 * arbitrary payload is read. Reading never throws: it answers with the message or with the reason for refusing it.
 */
export const MESSAGE_NAMES = [
  'approve',
  'reject',
  'abort',
  'pause',
  'resume',
  'retry',
  'skip',
  'throttle',
  'renew',
] as const;
export type MessageName = (typeof MESSAGE_NAMES)[number];

/** A decision by a person. `decisionId` makes it count once, however often it is delivered. */
export interface Decision {
  decisionId: string;
  /** Who decides, as the sender claims. */
  by: string;
  comment: string | null;
  /** The gate (`migrate/after`), for approve and reject; null: the only open one. */
  gate: string | null;
  /** The step or gate that is held, for retry and skip; null: the only held one. */
  step: string | null;
  /** For retry: the digest of what the held step shows and may be accepted; null: nothing is accepted. */
  accept: string | null;
}
export type Message = { name: Exclude<MessageName, 'throttle'>; decision: Decision };
export type MessageReading = { ok: true; message: Message } | { ok: false; reason: string };

/** Live control of a long step; in force by its next chunk. `full` takes back what was said before. */
export interface Throttle {
  step: string;
  by: string;
  rowsPerSecond: number | null;
  parallelism: number | null;
  gentle: boolean;
  full: boolean;
}
export type ThrottleReading = { ok: true; throttle: Throttle } | { ok: false; reason: string };

/** The answer to a message sent as an update. */
export interface Receipt {
  accepted: boolean;
  /** What happened, or why it was refused. */
  reason: string;
}

export const DECISION_ID_LENGTH_MAX = 100;
export const NAME_LENGTH_MAX = 200;
export const COMMENT_LENGTH_MAX = 2000;
const KEYS = ['decisionId', 'by', 'comment', 'gate', 'step', 'accept'];
const NEEDS_DECISION_ID: readonly MessageName[] = ['approve', 'reject'];

/** What a payload of each message looks like; shown in Temporal UI, in refusals and in the docs. */
export function examplePayload(name: MessageName, fields: Partial<Decision> = {}): string {
  const by = fields.by ?? 'you@example.com';
  const decision = { decisionId: fields.decisionId ?? 'd-1', by, comment: fields.comment ?? 'why' };
  switch (name) {
    case 'approve':
    case 'reject':
      return JSON.stringify({ gate: fields.gate ?? 'migrate/after', ...decision });
    case 'retry':
    case 'skip': {
      const accept = fields.accept == null ? {} : { accept: fields.accept };
      return JSON.stringify({ step: fields.step ?? 'accounts-backfill', ...accept, ...decision });
    }
    case 'throttle':
      return JSON.stringify({ step: fields.step ?? 'accounts-backfill', rowsPerSecond: 5000, by });
    case 'renew':
      return JSON.stringify({ by });
    default:
      return JSON.stringify(decision);
  }
}

/** Reads the payload of message `name`. `null` stands for an absent optional field. */
export function readMessage(name: Exclude<MessageName, 'throttle'>, payload: unknown): MessageReading {
  const refuse = (why: string): MessageReading => ({ ok: false, reason: `${why}; send ${examplePayload(name)}` });
  const given = readObject(payload, KEYS);
  if (typeof given === 'string') return refuse(given);
  const texts: Record<string, string | null> = {};
  for (const [key, max] of [
    ['decisionId', DECISION_ID_LENGTH_MAX],
    ['by', NAME_LENGTH_MAX],
    ['comment', COMMENT_LENGTH_MAX],
    ['gate', NAME_LENGTH_MAX],
    ['step', NAME_LENGTH_MAX],
    ['accept', NAME_LENGTH_MAX],
  ] as const) {
    const value = given[key] ?? null;
    if (value !== null && typeof value !== 'string') return refuse(`"${key}" must be a string`);
    if (value !== null && value.length > max) return refuse(`"${key}" is longer than ${max} characters`);
    texts[key] = value === null || value.trim() === '' ? null : value.trim();
  }
  if (texts['by'] == null) return refuse('"by" (who decides) is missing');
  if (texts['decisionId'] == null && NEEDS_DECISION_ID.includes(name)) return refuse('"decisionId" is missing');
  if (texts['accept'] != null && name !== 'retry') return refuse('"accept" goes with `retry` only');
  return {
    ok: true,
    message: {
      name,
      decision: {
        decisionId: texts['decisionId'] ?? '',
        by: texts['by'],
        comment: texts['comment'] ?? null,
        gate: texts['gate'] ?? null,
        step: texts['step'] ?? null,
        accept: texts['accept'] ?? null,
      },
    },
  };
}

/** Reads the payload of `throttle`. */
export function readThrottle(payload: unknown): ThrottleReading {
  const refuse = (why: string): ThrottleReading => ({
    ok: false,
    reason: `${why}; send ${examplePayload('throttle')}`,
  });
  const given = readObject(payload, THROTTLE_KEYS);
  if (typeof given === 'string') return refuse(given);
  const { step, by, rowsPerSecond = null, parallelism = null, gentle = false, full = false } = given;
  if (typeof step !== 'string' || step.trim() === '') return refuse('"step" is missing');
  if (typeof by !== 'string' || by.trim() === '') return refuse('"by" (who decides) is missing');
  if (rowsPerSecond !== null && !(typeof rowsPerSecond === 'number' && rowsPerSecond > 0))
    return refuse('"rowsPerSecond" must be a number above 0');
  if (
    parallelism !== null &&
    !(Number.isInteger(parallelism) && Number(parallelism) >= 1 && Number(parallelism) <= PARALLELISM_MAX)
  ) {
    return refuse(`"parallelism" must be a whole number from 1 to ${PARALLELISM_MAX}`);
  }
  if (typeof gentle !== 'boolean' || typeof full !== 'boolean')
    return refuse('"gentle" and "full" must be true or false');
  if (rowsPerSecond === null && parallelism === null && !gentle && !full) return refuse('nothing to change');
  if (full && (rowsPerSecond !== null || parallelism !== null || gentle))
    return refuse('"full" takes back what was said before and goes with nothing else');
  return {
    ok: true,
    throttle: {
      step: step.trim(),
      by: by.trim(),
      rowsPerSecond,
      parallelism: parallelism as number | null,
      gentle,
      full,
    },
  };
}
const THROTTLE_KEYS = ['step', 'by', 'comment', 'decisionId', 'rowsPerSecond', 'parallelism', 'gentle', 'full'];
const PARALLELISM_MAX = 16;

/** The payload as an object with known keys only, or why it isn't one. */
function readObject(payload: unknown, keys: readonly string[]): Record<string, unknown> | string {
  if (payload === null || payload === undefined) return 'the payload is empty';
  if (typeof payload !== 'object' || Array.isArray(payload)) {
    return `the payload must be a JSON object, not ${Array.isArray(payload) ? 'an array' : `a ${typeof payload}`}`;
  }
  const given = payload as Record<string, unknown>;
  if ('$unreadable' in given) return `the payload can't be read (${String(given['$unreadable'])})`;
  const unknown = Object.keys(given).find((key) => !keys.includes(key));
  return unknown === undefined ? given : `unknown field "${unknown.slice(0, 50)}"`;
}
