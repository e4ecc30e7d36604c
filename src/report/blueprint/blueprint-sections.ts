import { count } from '../../messages/index.ts';
import { span } from '../figures.ts';
import { oneLine } from '../plain-text.ts';
import type { Section } from '../report-sections.ts';
import type { BlueprintInput } from './blueprint-input.ts';
import { lockWords, statementsOf } from './statement-locks.ts';
import { placedSteps, undoSentence } from './step-words.ts';

/** The tables of a blueprint: risks, locks, estimates, and the way back. */
export const blueprintSections = (input: BlueprintInput): Section[] =>
  [risks(input), findings(input), locks(input), estimates(input), wayBack(input)].filter(
    ({ rows, empty }) => rows.length > 0 || empty !== undefined,
  );

const risks = ({ plan, risks: of, gates }: BlueprintInput): Section => ({
  heading: 'Risks',
  columns: ['Phase', 'Risk', 'Approvals', 'Steps that expose users or data'],
  rows: plan.spec.phases.map((phase) => [
    phase.name,
    of[phase.name] ?? plan.spec.risk,
    gates
      .filter((gate) => gate.phase === phase.name)
      .map(({ gate, min, roles }) => `${gate}: ${min} of ${roles.join(' or ') || 'anyone'}`)
      .join('; ') || 'none',
    phase.steps
      .filter(({ uses }) => EXPOSING.includes(uses))
      .map(({ id, uses }) => `${id} (${uses})`)
      .join(', '),
  ]),
});
const EXPOSING: readonly string[] = ['flag', 'rollout', 'retire', 'drop', 'move', 'call'];

const findings = ({ live }: BlueprintInput): Section => ({
  heading: 'What the rules have found',
  columns: ['Severity', 'Step', 'What would happen', 'Instead', 'Rule'],
  rows:
    'skipped' in live
      ? []
      : live.findings.map((finding) => [
          finding.avoided ? 'avoided' : finding.allowed === null ? finding.severity : 'allowed',
          finding.step,
          oneLine(finding.message),
          oneLine(finding.allowed ?? finding.safeForm),
          finding.rule,
        ]),
});

const locks = (input: BlueprintInput): Section => ({
  heading: 'Locks',
  columns: ['Step', 'Runs', 'Lock', 'On', 'Who waits'],
  rows: placedSteps(input.plan).flatMap(({ step }) =>
    (statementsOf(step.id, input) ?? []).flatMap(({ runs }) =>
      runs.flatMap((run) =>
        run.locks.map((lock) => [
          step.id,
          oneLine(run.text),
          lockWords(lock),
          lock.schema === 'public' ? lock.relation : `${lock.schema}.${lock.relation}`,
          lock.fresh === true ? 'nobody yet' : lock.waits,
        ]),
      ),
    ),
  ),
  ...('skipped' in input.live && { empty: `Not looked at: ${input.live.skipped}` }),
});

const MIB = 1024 * 1024;

/** Rows and bytes that are read or written; a time where the plan caps the rate. */
function estimates(input: BlueprintInput): Section {
  const sizes = new Map(
    'skipped' in input.live
      ? []
      : input.live.databases.flatMap(({ name, tables }) =>
          tables.map((table) => [JSON.stringify([name, table.schema, table.name]), table]),
        ),
  );
  return {
    heading: 'Estimates',
    columns: ['Step', 'Kind', 'Table', 'Rows', 'MiB', 'At least'],
    rows: placedSteps(input.plan).flatMap(({ step }) => {
      if (step.uses !== 'backfill' && step.uses !== 'verify' && step.uses !== 'move') return [];
      return (input.tables.get(step.id) ?? []).map(({ database, schema, table }) => {
        const size = sizes.get(JSON.stringify([database, schema, table]));
        const rate = step.throttle.maxRowsPerSecond;
        const rows = size?.rows ?? null;
        return [
          step.id,
          step.uses,
          `${database}: ${schema === 'public' ? table : `${schema}.${table}`}`,
          rows === null ? '?' : count(rows),
          size === undefined ? '?' : count(size.bytes / MIB),
          rows === null || rate === undefined ? '' : span((1000 * rows) / rate),
        ];
      });
    }),
  };
}

/** Step by step, the last first; what has no way back ends it. */
function wayBack(input: BlueprintInput): Section {
  const rows = placedSteps(input.plan)
    .toReversed()
    .flatMap(({ phase, step }) => {
      const undo = undoSentence(step, input);
      return undo === null ? [] : [[phase, step.id, oneLine(undo)]];
    });
  return {
    heading: 'The way back',
    columns: ['Phase', 'Step', 'Is taken back'],
    rows,
    empty: 'No step leaves anything that would have to be taken back.',
  };
}
