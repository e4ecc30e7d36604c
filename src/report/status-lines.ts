import type { PhaseStatus, Status, StepStatus } from '../messages/index.ts';
import { instant, progressWords, shareOf } from './figures.ts';
import { nextCommands } from './next-commands.ts';
import { oneLine } from './plain-text.ts';

/**
 * What changed between two statuses, a line each: for logs and pipes. Progress is told at every tenth part only, and a
 * note when more than its figures changed, so that a long backfill doesn't fill the log.
 */
export function changeLines(before: Status | null, after: Status, program: string): string[] {
  const lines: string[] = [];
  for (const phase of after.phases) {
    const was = before?.phases.find(({ name }) => name === phase.name) ?? null;
    if (phase.state !== (was?.state ?? 'pending')) lines.push(`phase ${phase.name}: ${phase.state}`);
    lines.push(...phase.steps.flatMap((step) => stepChanges(was, step)));
  }
  const known = new Set(before?.refused.map((refusal) => JSON.stringify(refusal)));
  for (const refusal of after.refused.filter((one) => !known.has(JSON.stringify(one)))) {
    lines.push(`refused ${oneLine(refusal.message)}: ${oneLine(refusal.reason)}`);
  }
  if (before?.status !== after.status || (before.reason !== after.reason && !lines.length)) {
    lines.push(`${after.name} ${after.status}: ${oneLine(after.reason)}`);
    const hint = after.error?.hint;
    if (hint != null && before?.error?.hint !== hint) lines.push(`hint: ${oneLine(hint)}`);
  }
  lines.push(...degradedChanges(before, after));
  if (before?.source !== after.source && (after.source === 'ledger' || before !== null)) {
    lines.push(
      after.source === 'ledger'
        ? `no worker answers: as the ledger had it at ${instant(after.updatedAt)}`
        : 'the run answers again',
    );
  }
  const told = new Set(before === null ? [] : nextCommands(before, program).map(({ command }) => command));
  const news = nextCommands(after, program).filter(({ command }) => !told.has(command));
  lines.push(...news.map(({ why, command }) => `to ${why.startsWith('what') ? 'see ' : ''}${why}: ${command}`));
  const link = after.links['temporal'];
  if (news.length > 0 && link !== undefined) lines.push(`or look at ${oneLine(link)}`);
  return lines;
}

/** What goes worse, and what goes well again; not each figure in between. */
function degradedChanges(before: Status | null, { degraded = [] }: Status): string[] {
  const was = new Map((before?.degraded ?? []).map(({ what, words }) => [what, words]));
  const worse = degraded.filter(({ what, words }) => shape(words) !== shape(was.get(what) ?? ''));
  const well = [...was.keys()].filter((what) => !degraded.some((one) => one.what === what));
  return [
    ...worse.map(({ what, words }) => `degraded: ${oneLine(what)}: ${oneLine(words)}`),
    ...well.map((what) => `${oneLine(what)} is well again`),
  ];
}

function stepChanges(phaseBefore: PhaseStatus | null, step: StepStatus): string[] {
  const was = phaseBefore?.steps.find(({ id }) => id === step.id);
  const note = oneLine(step.note ?? '');
  const words = step.progress === null ? '' : progressWords(step.progress, step.state === 'running');
  const told = [words, note].filter((part) => part !== '').join('; ');
  const tell = (text: string): string => `step ${step.id} (${step.uses}): ${text}${told === '' ? '' : `: ${told}`}`;
  if (step.state !== (was?.state ?? 'pending')) return [tell(step.state)];
  if (step.state !== 'running' && step.state !== 'undoing') return [];
  if (tenthOf(was) !== tenthOf(step)) return [tell(step.state)];
  return note !== '' && shape(note) !== shape(was?.note ?? '') ? [tell(step.state)] : [];
}

/** A note with its figures left out: 'lag 3.1 s' after 'lag 2.9 s' is no news. */
const shape = (note: string): string => oneLine(note).replace(/\d[\d.,:]*/g, '#');
const tenthOf = (step: StepStatus | undefined): number | null => {
  const share = step?.progress == null ? null : shareOf(step.progress);
  return share === null ? null : Math.floor(share * 10);
};
