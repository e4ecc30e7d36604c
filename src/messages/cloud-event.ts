import { type EventRef, eventIdOf } from './notification.ts';

/**
 * An event of the audit as a CloudEvent 1.0 in JSON: for webhooks, and for `audit --cloudevents`. `id` and `source`
 * follow from the event, so that who gets it twice knows it.
 */
export interface CloudEvent<Data extends object = Record<string, unknown>> {
  specversion: '1.0';
  id: string;
  /** `/switchback/<Temporal's namespace>/migration/<name>`. */
  source: string;
  /** `dev.switchback.migration.<event>.v1`; a change that breaks who reads `data` is another number. */
  type: string;
  /** The step, gate or phase that it is about, or the migration where it is about all of it. */
  subject: string;
  /** When it happened, not when it was sent. */
  time: string;
  datacontenttype: 'application/json';
  data: Data;
}

/** Two events of the audit go by the name that people configure. */
const KNOWN_AS: Readonly<Record<string, string>> = { 'gate-opened': 'approval-needed', turning: 'rolling-back' };
export const eventNameOf = (auditType: string): string => KNOWN_AS[auditType] ?? auditType;

/** A CloudEvent without its time, which the ledger sets. */
export type UntimedEvent<Data extends object = Record<string, unknown>> = Omit<CloudEvent<Data>, 'time'>;

export const cloudEventOf = <Data extends object>(
  of: EventRef & { namespace: string; name: string; subject: string | null; data: Data },
): UntimedEvent<Data> => ({
  specversion: '1.0',
  id: eventIdOf(of),
  source: `/switchback/${encodeURIComponent(of.namespace)}/migration/${of.migration}`,
  type: `dev.switchback.migration.${of.name}.v1`,
  subject: of.subject ?? of.migration,
  datacontenttype: 'application/json',
  data: of.data,
});

export interface EventPlace {
  phase: string | null;
  step: string | null;
  gate: string | null;
}
/**
 * What an event of the audit is about. What is held may be a step, or a gate or guard, whose name has a slash; a gate of
 * a phase is called after it, one of a step after the step.
 */
export function placeOf({ step, gate, phase, what }: Record<string, unknown>): EventPlace {
  const held = textOf(what);
  const ofGate = textOf(gate) ?? (held?.includes('/') === true ? held : null);
  const ofStep = textOf(step) ?? (held?.includes('/') === false ? held : null);
  return {
    phase: textOf(phase) ?? (ofStep === null ? (ofGate?.split('/')[0] ?? null) : null),
    step: ofStep,
    gate: ofGate,
  };
}
export const subjectOf = ({ step, gate, phase }: EventPlace): string | null => step ?? gate ?? phase;

const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
