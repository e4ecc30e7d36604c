import {
  type EventPlace,
  examplePayload,
  type MessageName,
  type NotificationEvent,
  placeOf,
  type RunRef,
  type Status,
  subjectOf,
  workflowIdOf,
} from '../messages/index.ts';

/** What an event is told with: what the run knows of itself when it happens. */
export interface NoticeContext {
  owner: string;
  requestedBy: string;
  risk: string;
  /** All services that take part. */
  services: readonly string[];
  /** Null where the run is not under way yet, or where a step speaks for itself. */
  status: Status | null;
}
/** What can be done next: as a command, and as the signal that it stands for. */
export interface NextStep {
  why: string;
  command: string;
  signal: { workflowId: string; name: MessageName; payload: unknown } | null;
}
/** The `data` of a CloudEvent that a webhook gets. Its shape is a public promise: docs/notifications.md. */
export interface NoticeData extends EventPlace {
  event: NotificationEvent;
  name: string;
  version: number;
  epoch: number;
  owner: string;
  requestedBy: string;
  risk: string;
  /** The run's status and reason when it happened; null where a step speaks for itself. */
  status: string | null;
  reason: string | null;
  by: string | null;
  /** Services that it concerns, by name. */
  services: string[];
  /** What the audit has on record of it. */
  detail: Record<string, unknown>;
  error: Status['error'];
  /** For `approval-needed` and `window-closed`: who may approve, and until when. */
  approval: { roles: string[]; min: number; expiresAt: string | null } | null;
  next: NextStep[];
  /** The run in Temporal's UI. */
  link: string | null;
}

/** Receivers take 20 kB gladly (Standard Webhooks) and 64 kB without fail: texts and lists are cut. */
const TEXT_LENGTH_MAX = 2_000;
const LIST_LENGTH_MAX = 100;
const DETAIL_LENGTH_MAX = 32_000;
const WHO = 'you@example.com';
/** Events that may come of an error, which the status has then. */
const OF_AN_ERROR: readonly NotificationEvent[] = ['held', 'exposure-lowered', 'rolling-back', 'rolled-back', 'failed'];
const DECISION_ID_LENGTH_MAX = 100;

export function noticeData(
  run: RunRef,
  event: { key: string; name: NotificationEvent; by: string | null; detail: Record<string, unknown> },
  { owner, requestedBy, risk, services, status }: NoticeContext,
  { namespace, ui }: { namespace: string; ui: string | null },
): { data: NoticeData; subject: string | null } {
  const { detail, key, name } = event;
  const place = placeOf(detail);
  const phase = place.phase ?? phaseOf(place.step, status);
  const data: NoticeData = {
    ...{ event: name, name: run.migration, version: run.version, epoch: run.epoch },
    ...{ owner, requestedBy, risk, status: status?.status ?? null, reason: cut(status?.reason ?? null) },
    ...{ by: event.by, phase, step: place.step, gate: place.gate, services: services.slice(0, LIST_LENGTH_MAX) },
    detail: bounded(detail),
    error: OF_AN_ERROR.includes(name) ? (status?.error ?? null) : null,
    approval: name === 'approval-needed' || name === 'window-closed' ? approvalOf(place.gate, status) : null,
    next: nextSteps(run.migration, name, place, { status, key }),
    link: ui === null ? null : linkTo(ui, namespace, run.migration),
  };
  return { data, subject: subjectOf({ ...place, phase }) };
}

const phaseOf = (step: string | null, status: Status | null): string | null =>
  status?.phases.find(({ steps }) => steps.some(({ id }) => id === step))?.name ?? null;

function approvalOf(gate: string | null, status: Status | null): NoticeData['approval'] {
  const open = status?.gates.find((one) => one.gate === gate);
  return open === undefined ? null : { roles: open.roles, min: open.min, expiresAt: open.expiresAt };
}

/** The newest run of the migration: the UI finds it by the workflow's ID alone. */
const linkTo = (ui: string, namespace: string, migration: string): string =>
  `${ui.replace(/\/+$/, '')}/namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(workflowIdOf(migration))}`;

function nextSteps(
  migration: string,
  event: NotificationEvent,
  { step, gate }: EventPlace,
  { status, key }: { status: Status | null; key: string },
): NextStep[] {
  const about = step ?? gate ?? '';
  const send = (why: string, name: MessageName, fields: Parameters<typeof examplePayload>[1]): NextStep => ({
    why,
    command: ['switchback', name, migration, fields?.gate ?? fields?.step ?? '', `--as ${WHO}`]
      .filter(Boolean)
      .join(' '),
    signal: {
      workflowId: workflowIdOf(migration),
      name,
      payload: JSON.parse(examplePayload(name, { by: WHO, ...fields })) as unknown,
    },
  });
  // Any text that was not used before will do: an event happens once.
  const decisionId = `${about}-${key}`.slice(-DECISION_ID_LENGTH_MAX);
  const look: NextStep = { why: 'what was done', command: `switchback report ${migration}`, signal: null };
  switch (event) {
    case 'approval-needed':
    case 'window-closed': {
      const open = status?.gates.find((one) => one.gate === gate);
      if (gate === null || open?.state !== 'open') return [];
      const approve = event === 'window-closed' ? 'go now all the same' : `approve ${gate}`;
      return [
        send(approve, 'approve', { gate, decisionId: open.decisionId }),
        send(`refuse ${gate}`, 'reject', { gate, decisionId: open.decisionId }),
      ];
    }
    case 'held': {
      const goOn = [
        send(`try ${about} again`, 'retry', { step: about, decisionId }),
        send(`go on without ${about}`, 'skip', { step: about, decisionId }),
      ];
      return status?.status === 'rolling-back' || wayBackTaken(status)
        ? goOn
        : [...goOn, send('undo everything', 'abort', { decisionId })];
    }
    case 'completed':
    case 'rolled-back':
    case 'failed':
      return [look];
    default:
      return [];
  }
}

/** After a drop, abort is refused: nobody is told to send it. */
const wayBackTaken = (status: Status | null): boolean =>
  status?.phases.some(({ steps }) => steps.some(({ uses, state }) => uses === 'drop' && state === 'done')) === true;

const cut = <T extends string | null>(text: T): T | string =>
  text === null || text.length <= TEXT_LENGTH_MAX ? text : `${text.slice(0, TEXT_LENGTH_MAX - 1)}…`;

function bounded(detail: Record<string, unknown>): Record<string, unknown> {
  const shown = Object.fromEntries(
    Object.entries(detail).map(([key, value]) => [
      key,
      typeof value === 'string' ? cut(value) : Array.isArray(value) ? value.slice(0, LIST_LENGTH_MAX) : value,
    ]),
  );
  return JSON.stringify(shown).length <= DETAIL_LENGTH_MAX
    ? shown
    : { leftOut: 'it is too long; `switchback audit` has it' };
}
