import { examplePayload, type MessageName, type PhaseStatus, type Status, type StepStatus } from '../messages/index.ts';
import { decisionIdOf } from './gate.ts';
import { openGates, openOverrides } from './run-status.ts';
import type { Gate, MigrationState } from './state.ts';

/**
 * The current details that Temporal UI shows: where the run stands, why it waits, and the exact signal to send next.
 * Only headings, lists, tables and code: that is what its Markdown renders. No emoji: not every machine has the font.
 *
 * The UI renders them in a frame whose address carries the whole text, and proxies bound the length of addresses (often
 * 8 KiB): hence the bounds. Outside code it makes quotation marks curly, so that what is to be copied has to be code.
 */
const REFUSALS_SHOWN_MAX = 5;
const STEPS_SHOWN_MAX = 30;
const NOTE_SHOWN_MAX = 100;
/** Of what is under way: who is in its way comes late in the sentence. */
const NOTE_AT_WORK_SHOWN_MAX = 300;
const GATE_DETAILS_SHOWN_MAX = 2_000;
/** The frame is a line or two lower than its text: what it cuts off is this paragraph (a no-break space). */
const ROOM_BELOW = '\u00a0';

export function detailsOf(status: Status, state: MigrationState): string {
  return [
    `## ${status.status}`,
    // What a gate waits for is said beside its payload.
    status.status === 'awaiting-approval' ? '' : plain(status.reason),
    ...(status.error === null
      ? []
      : [`**${status.error.code}**${status.error.hint === null ? '' : `: ${plain(status.error.hint)}`}`]),
    nextSignals(status, state),
    degradations(status),
    stepTable(status),
    refusals(status),
    ROOM_BELOW,
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** Text of people and servers inside Markdown: on one line, with nothing that would be taken as markup. */
const plain = (text: string): string =>
  text
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/[\\`*_[\]<>|#~$]/g, String.raw`\$&`)
    // Two hyphens would become a dash, also in the options of a command.
    .replaceAll('--', String.raw`\-\-`);
const code = (text: string): string => `\`${text.replaceAll(/\s+/g, ' ').replaceAll('`', "'")}\``;
const cut = (text: string, max: number): string => (text.length <= max ? text : `${text.slice(0, max - 1)}…`);

function nextSignals(status: Status, state: MigrationState): string {
  const parts = openGates(state).map((gate) => approval(gate, state.requestedBy));
  parts.push(...openOverrides(state).map((gate) => override(gate, state.requestedBy)));
  for (const { id, drift } of Object.values(state.holds)) {
    const decisionId = `${id}-${state.events}`;
    parts.push(
      `### Held: ${plain(id)}`,
      ...signal('To go on, send the signal `retry` or `skip`', 'retry', { step: id, decisionId }),
    );
    if (drift !== undefined) {
      parts.push(
        ...signal('To accept what is shown, and go on, send the signal `retry`', 'retry', {
          step: id,
          decisionId: `${decisionId}-accept`,
          accept: drift,
        }),
      );
    }
  }
  if (state.paused !== null) {
    parts.push(...signal('To go on, send the signal `resume`', 'resume', { decisionId: `resume-${state.events}` }));
  }
  if (['running', 'waiting', 'awaiting-approval', 'paused', 'held'].includes(status.status) && !wayBackTaken(status)) {
    parts.push(
      ...signal('To stop and roll back, send the signal `abort`', 'abort', { decisionId: `abort-${state.events}` }),
    );
  }
  return parts.join('\n\n');
}

/** After a drop, abort is refused: nobody is told to send it. */
const wayBackTaken = ({ phases }: Status): boolean =>
  phases.some(({ steps }) => steps.some(({ uses, state }) => uses === 'drop' && state === 'done'));

/** Who may, and who has. */
function approvers(gate: Gate, requestedBy: string): string[] {
  const by = gate.approvals.map((one) => plain(one.by)).join(', ');
  const who = gate.roles.length === 0 ? 'Anyone' : `The role ${gate.roles.map(code).join(' or ')}`;
  return [
    `${gate.approvals.length} of ${gate.min} given${by === '' ? '' : ` (${by})`}.`,
    `${who} may approve${gate.notRequester ? `, but not ${plain(requestedBy)}, who started it` : ''}.`,
  ];
}

/** The emergency override of a window. */
const override = (gate: Gate, requestedBy: string): string =>
  [
    `### Waits for its window: ${plain(gate.gate.replace(/\/window$/, ''))}`,
    `It goes by itself when the window opens. In an emergency an approval lets it go now, until it is done. ${approvers(gate, requestedBy).join(' ')}`,
    ...signal('Send the signal `approve` with your name as `by` and why as `comment`', 'approve', {
      gate: gate.gate,
      decisionId: decisionIdOf(gate),
    }),
  ].join('\n\n');

function approval(gate: Gate, requestedBy: string): string {
  const sentences = [
    ...approvers(gate, requestedBy),
    ...(gate.expiresAt === null ? [] : [`It expires at ${timeOf(new Date(gate.expiresAt).toISOString())}.`]),
  ];
  return [
    `### Approval needed: ${plain(gate.gate)}`,
    ...(gate.details === null ? [] : [cut(gate.details, GATE_DETAILS_SHOWN_MAX)]),
    sentences.join(' '),
    ...signal('Send the signal `approve` or `reject` with your name as `by`', 'approve', {
      gate: gate.gate,
      decisionId: decisionIdOf(gate),
    }),
  ].join('\n\n');
}

/** The payload on lines of its own each: none is so long that the frame cuts it off. */
function signal(words: string, name: MessageName, fields: Parameters<typeof examplePayload>[1]): string[] {
  const payload = JSON.stringify(JSON.parse(examplePayload(name, fields)), null, 2);
  return [`${words}:`, `\`\`\`json\n${payload}\n\`\`\``];
}

function stepTable(status: Status): string {
  const count = status.phases.reduce((sum, phase) => sum + phase.steps.length, 0);
  const rows = status.phases.flatMap((phase) => rowsOf(phase, count <= STEPS_SHOWN_MAX));
  return [
    row(['phase', 'step', 'kind', 'state', 'note']),
    '| --- | --- | --- | --- | --- |',
    ...rows.slice(0, STEPS_SHOWN_MAX),
    ...(rows.length > STEPS_SHOWN_MAX ? [row([`and ${rows.length - STEPS_SHOWN_MAX} more`, '', '', '', ''])] : []),
  ].join('\n');
}
/** In a long plan, phases in which nothing happens are one row each. */
function rowsOf({ name, state, steps }: PhaseStatus, all: boolean): string[] {
  if (!all && ['pending', 'done', 'undone'].includes(state))
    return [row([name, `${steps.length} steps`, '', state, ''])];
  return steps.map((step, index) => row([index === 0 ? name : '', step.id, step.uses, step.state, noteOf(step)]));
}
const row = (cells: readonly string[]): string => `| ${cells.map(plain).join(' | ')} |`;

function noteOf({ state, progress, note }: StepStatus): string {
  const atWork = state === 'running' || state === 'undoing';
  const shown = cut(note ?? '', atWork ? NOTE_AT_WORK_SHOWN_MAX : NOTE_SHOWN_MAX);
  if (progress === null || progress.total === null || progress.total <= 1 || state === 'done') return shown;
  const percent = Math.floor((100 * progress.done) / progress.total);
  return `${percent} % (${progress.done} of ${progress.total})${shown === '' ? '' : `, ${shown}`}`;
}

/** As of the last refresh: what is under way says it at once in its heartbeat. */
function degradations({ degraded = [] }: Status): string {
  if (degraded.length === 0) return '';
  const lines = degraded.map(
    ({ what, since, words }) =>
      `- ${code(what)}${since === null ? '' : `, since ${timeOf(since)}`}: ${plain(cut(words, NOTE_AT_WORK_SHOWN_MAX))}`,
  );
  return ['### Degraded', ...lines].join('\n');
}

function refusals({ refused }: Status): string {
  if (refused.length === 0) return '';
  const shown = refused
    .slice(-REFUSALS_SHOWN_MAX)
    .map((one) => `- ${timeOf(one.at)}, ${code(one.message)}: ${plain(withoutExample(one.reason))}`);
  const earlier = refused.length - shown.length;
  return [
    '### Refused',
    ...shown,
    ...(earlier > 0 ? [`- and ${earlier} earlier: the query \`status\` has them`] : []),
  ].join('\n');
}
/** The exact payload to send stands further up; the general example would only be copied in its place. */
const withoutExample = (reason: string): string => reason.replace(/; send \{.*$/s, '');
const timeOf = (at: string): string => `${at.slice(0, 19).replace('T', ' ')} UTC`;
