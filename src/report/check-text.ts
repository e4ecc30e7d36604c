import { counted, type LiveCheck, problemOf, type StopNeeds } from '../messages/index.ts';
import type { Gate, Plan } from '../plan/index.ts';
import { findingLines } from './check-findings.ts';
import { statementLines } from './check-table.ts';
import { painter } from './paint.ts';
import { oneLine, wrap } from './plain-text.ts';

/** What `check` has to say of a plan file. */
export interface CheckReport {
  /** The file's path, as it was given. */
  path: string;
  plan: Plan;
  digest: string;
  gates: readonly Gate[];
  /** What windows mean for its steps if it started now. */
  windows: readonly { steps: readonly string[]; open: boolean; changesAt: string | null; why: string }[];
  /** Of rollouts that compare metrics, what each stop needs. */
  bakes: readonly StopNeeds[];
  live: LiveCheck | { skipped: string };
  /** The file that has the findings as SARIF; null where there is none. */
  sarif: string | true | null;
}

/** A check as text for people: the plan, its statements with their locks, the findings, problems, notes. */
export function checkText(report: CheckReport, { width, color }: { width: number; color: boolean }): string {
  const { path, plan, digest, gates, bakes, live, sarif } = report;
  const { metadata, spec } = plan;
  const steps = spec.phases.reduce((sum, phase) => sum + phase.steps.length, 0);
  return [
    `${path}: fine`,
    `  ${metadata.name} version ${metadata.version}, ${counted(spec.phases.length, 'phase')}, ${counted(steps, 'step')}`,
    `  gates: ${gates.map(({ gate }) => gate).join(', ') || 'none'}`,
    `  digest: ${digest}`,
    ...windowLines(report, width),
    ...bakeLines(bakes, width),
    ...liveLines(path, live, { width, color }),
    ...(typeof sarif === 'string' ? [`wrote ${sarif}`] : []),
  ].join('\n');
}

function windowLines({ windows }: CheckReport, width: number): string[] {
  if (windows.length === 0) return [];
  const told = windows.flatMap(({ steps, open, changesAt, why }) =>
    wrap(`${!open && changesAt === null ? 'warning: ' : ''}${steps.join(', ')}: ${why}`, Math.max(20, width - 4)),
  );
  return ['  windows, if it started now:', ...told.map((line) => `    ${line}`)];
}

/** What the statistical gates of rollouts need, so that nobody bakes too short. */
function bakeLines(bakes: readonly StopNeeds[], width: number): string[] {
  const indented = (text: string, by: number): string[] =>
    wrap(oneLine(text), Math.max(20, width - by)).map((line) => ' '.repeat(by) + line);
  return bakes.length === 0
    ? []
    : [
        'bakes: what the gates of rollouts need (docs/gates.md)',
        ...bakes.flatMap(({ phase, step, stop, at, bake, words }) => [
          ...indented(`${phase}/${step}, stop ${stop}: ${at}, bakes ${bake}`, 2),
          ...words.flatMap((text) => indented(text, 4)),
        ]),
      ];
}

function liveLines(
  file: string,
  live: CheckReport['live'],
  { width, color }: { width: number; color: boolean },
): string[] {
  if ('skipped' in live) return [`live: not checked: ${oneLine(live.skipped)}`];
  const paint = painter(color);
  const told = new Set(live.findings.map(problemOf));
  const problems = live.problems.filter((problem) => !told.has(problem));
  const found = [...statementLines(live, width, paint), ...findingLines(live, { file, width, paint })];
  const say = (word: string, text: string): string[] =>
    wrap(oneLine(text), Math.max(20, width - 11)).map((line, i) => (i === 0 ? `  ${word}: ${line}` : `    ${line}`));
  return [
    `live: ${live.problems.length === 0 ? 'fine' : counted(live.problems.length, 'problem')}`,
    ...problems.flatMap((problem) => say('problem', problem)),
    ...live.notes.flatMap((note) => say('note', note)),
    ...found,
  ];
}
