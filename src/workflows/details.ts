import { examplePayload, type Status, type StepStatus } from '../messages/index.ts';
import { decisionIdOf } from './gate.ts';
import { openGates } from './run-status.ts';
import type { MigrationState } from './state.ts';

/**
 * The current details that Temporal UI shows: where the run stands, why it waits, and the exact signal to send next.
 * Only headings, lists, tables and code: that is what its Markdown renders. No emoji: not every machine has the font.
 */
const REFUSALS_SHOWN_MAX = 5;

export function detailsOf(status: Status, state: MigrationState): string {
  return [
    `## ${status.status}`,
    plain(status.reason),
    ...(status.error === null
      ? []
      : [`**${status.error.code}**${status.error.hint === null ? '' : `: ${plain(status.error.hint)}`}`]),
    nextSignals(status, state),
    phaseTable(status),
    refusals(status),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** Text of people and servers inside Markdown: on one line, and without what would end a table's cell or start a tag. */
const plain = (text: string): string => text.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').replaceAll('<', '&lt;');

function nextSignals(status: Status, state: MigrationState): string {
  const parts: string[] = [];
  for (const gate of openGates(state)) {
    parts.push(
      `### Approval needed: ${gate.gate}`,
      ...(gate.details === null ? [] : [gate.details]),
      `${gate.approvals.length} of ${gate.min} given${gate.roles.length > 0 ? `; needs ${gate.roles.join(' or ')}` : ''}. ` +
        'Send the signal `approve` (or `reject`) with your name:',
      fenced(examplePayload('approve', { gate: gate.gate, decisionId: decisionIdOf(gate) })),
    );
  }
  for (const hold of Object.values(state.holds)) {
    const step = { step: hold.id, decisionId: `${hold.id}-${state.events}` };
    const orAbort = state.direction === 'up' ? ', or `abort`' : '';
    parts.push(
      `### Held: ${hold.id}`,
      `Send the signal \`retry\` or \`skip\`${orAbort}:`,
      fenced(examplePayload('retry', step)),
    );
  }
  if (state.paused !== null && parts.length === 0) {
    parts.push(
      '### Paused',
      'Send the signal `resume`:',
      fenced(examplePayload('resume', { decisionId: `resume-${state.events}` })),
    );
  }
  if (parts.length === 0 && ['running', 'waiting'].includes(status.status)) {
    parts.push(
      'To stop and roll back, send the signal `abort`:',
      fenced(examplePayload('abort', { decisionId: `abort-${state.events}` })),
    );
  }
  return parts.join('\n\n');
}
const fenced = (json: string): string => `\`\`\`json\n${json}\n\`\`\``;

function phaseTable(status: Status): string {
  const rows = status.phases.flatMap((phase) =>
    phase.steps.map(
      (step) => `| ${phase.name} | ${step.id} | ${step.uses} | ${step.state} | ${plain(progressOf(step))} |`,
    ),
  );
  return ['| phase | step | kind | state | progress |', '| --- | --- | --- | --- | --- |', ...rows].join('\n');
}
function progressOf({ progress, note }: StepStatus): string {
  if (progress === null || progress.total === null || progress.total === 0) return note ?? '';
  const percent = Math.floor((100 * progress.done) / progress.total);
  return `${percent} % (${progress.done} of ${progress.total})${note === null ? '' : `, ${note}`}`;
}

function refusals({ refused }: Status): string {
  if (refused.length === 0) return '';
  const shown = refused
    .slice(-REFUSALS_SHOWN_MAX)
    .map((one) => `- ${one.at}: \`${one.message.replaceAll('`', "'")}\`: ${plain(one.reason)}`);
  return ['### Refused', ...shown].join('\n');
}
