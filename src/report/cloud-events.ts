import {
  type Audit,
  type AuditedDecision,
  type CloudEvent,
  cloudEventOf,
  eventNameOf,
  type EventPlace,
  placeOf,
  subjectOf,
} from '../messages/index.ts';

/** The `data` of an exported event: what the audit has, and nothing of what could be done at that time. */
export interface AuditEventData extends EventPlace {
  event: string;
  name: string;
  version: number;
  epoch: number;
  owner: string;
  by: string | null;
  /** Whether `by` was proven, or only claimed by who sent it. */
  identity: string | null;
  detail: Record<string, unknown>;
}

/** The audit's decisions as CloudEvents, oldest first: the same IDs, types and times as webhooks are told. */
export const cloudEventsOf = (audit: Audit): CloudEvent<AuditEventData>[] =>
  audit.decisions.map((decision) => ({ ...eventOf(audit, decision), time: decision.at }));

function eventOf({ name: migration, owner, namespace }: Audit, decision: AuditedDecision) {
  const { key, version, epoch, type, by, identity, data: detail } = decision;
  const place = placeOf(detail);
  const name = eventNameOf(type);
  return cloudEventOf({
    ...{ migration, version, epoch, key, name, namespace: namespace ?? 'default', subject: subjectOf(place) },
    data: { event: name, name: migration, version, epoch, owner, by, identity, ...place, detail },
  });
}
