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
}
export type Message = { name: Exclude<MessageName, 'throttle'>; decision: Decision };
export type MessageReading = { ok: true; message: Message } | { ok: false; reason: string };

/** The answer to a message sent as an update. */
export interface Receipt {
  accepted: boolean;
  /** What happened, or why it was refused. */
  reason: string;
}

export const DECISION_ID_LENGTH_MAX = 100;
export const NAME_LENGTH_MAX = 200;
export const COMMENT_LENGTH_MAX = 2000;
const KEYS = ['decisionId', 'by', 'comment', 'gate', 'step'];
const NEEDS_DECISION_ID: readonly MessageName[] = ['approve', 'reject'];

/** What a payload of each message looks like; shown in Temporal UI, in refusals and in the docs. */
export const examplePayload = (name: MessageName, fields: Partial<Decision> = {}): string =>
  JSON.stringify({
    ...((name === 'approve' || name === 'reject') && { gate: fields.gate ?? 'migrate/after' }),
    ...((name === 'retry' || name === 'skip') && { step: fields.step ?? 'accounts-backfill' }),
    ...(name !== 'renew' && { decisionId: fields.decisionId ?? 'd-1' }),
    by: fields.by ?? 'you@example.com',
    ...(name !== 'renew' && { comment: fields.comment ?? 'why' }),
  });

/** Reads the payload of message `name`. `null` stands for an absent optional field. */
export function readMessage(name: Exclude<MessageName, 'throttle'>, payload: unknown): MessageReading {
  const refuse = (why: string): MessageReading => ({ ok: false, reason: `${why}; send ${examplePayload(name)}` });
  if (payload === null || payload === undefined) return refuse('the payload is empty');
  if (typeof payload !== 'object' || Array.isArray(payload)) {
    return refuse(`the payload must be a JSON object, not ${Array.isArray(payload) ? 'an array' : typeof payload}`);
  }
  const given = payload as Record<string, unknown>;
  if ('$unreadable' in given) return refuse(`the payload can't be read (${String(given['$unreadable'])})`);
  const unknown = Object.keys(given).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) return refuse(`unknown field "${unknown.slice(0, 50)}"`);
  const texts: Record<string, string | null> = {};
  for (const [key, max] of [
    ['decisionId', DECISION_ID_LENGTH_MAX],
    ['by', NAME_LENGTH_MAX],
    ['comment', COMMENT_LENGTH_MAX],
    ['gate', NAME_LENGTH_MAX],
    ['step', NAME_LENGTH_MAX],
  ] as const) {
    const value = given[key] ?? null;
    if (value !== null && typeof value !== 'string') return refuse(`"${key}" must be a string`);
    if (value !== null && value.length > max) return refuse(`"${key}" is longer than ${max} characters`);
    texts[key] = value === null || value.trim() === '' ? null : value.trim();
  }
  if (texts['by'] == null) return refuse('"by" (who decides) is missing');
  if (texts['decisionId'] == null && NEEDS_DECISION_ID.includes(name)) return refuse('"decisionId" is missing');
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
      },
    },
  };
}
