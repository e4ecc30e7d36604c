import { temporal } from '@temporalio/proto';

/** A workflow's history as it is kept on file. */
export type History = temporal.api.history.v1.IHistory;
const type = temporal.api.history.v1.History;

/** Without what tells of the machine that recorded it: stack traces and identities, which no replay looks at. */
export const encodeHistory = (history: History): Uint8Array =>
  type.encode(type.fromObject(scrubbed(type.toObject(type.fromObject(history))) as object)).finish();
function scrubbed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(scrubbed);
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array || 'low' in value) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, of]) => [key, key === 'stackTrace' || key === 'identity' ? '' : scrubbed(of)]),
  );
}

export const decodeHistory = (bytes: Uint8Array): History => type.decode(bytes);

/** The last event's type, such as `WORKFLOW_EXECUTION_COMPLETED`. */
export const endingOf = (history: History): string =>
  temporal.api.enums.v1.EventType[history.events?.at(-1)?.eventType ?? 0]?.replace('EVENT_TYPE_', '') ?? '';
