import { counted, isEnd, type Status } from '../messages/index.ts';
import { dataWords, digestWords, keyWords } from './audit-text.ts';
import { instant, progressWords, span } from './figures.ts';
import { oneLine } from './plain-text.ts';
import type { AuditFact, ReportFacts } from './report-facts.ts';

/** A report as data: a title, one sentence, and sections that hold a table each. Markdown and HTML are made of it. */
export interface Section {
  heading: string;
  columns: readonly string[];
  rows: readonly (readonly string[])[];
  /** What stands there instead where there are no rows; a section without it is then left out. */
  empty?: string;
}
export interface Report {
  title: string;
  summary: string;
  sections: Section[];
}

const OUTCOMES: Record<Status['status'], string> = {
  'rolling-back': 'is being rolled back',
  held: 'is held for a person',
  paused: 'is paused',
  'awaiting-approval': 'waits for an approval',
  waiting: 'waits',
  running: 'is running',
  completed: 'completed',
  'rolled-back': 'was rolled back',
  failed: 'failed',
};
/** Events that a person decided; all others are the engine's. */
const DECISIONS = [
  'approved',
  'rejected',
  'aborted',
  'paused',
  'resumed',
  'retried',
  'skipped',
  'throttled',
  'released',
];

export function reportOf(status: Status, facts: ReportFacts): Report {
  const sections = [
    outcome(status, facts),
    steps(status, facts),
    failures(facts),
    decisions(facts),
    timeline(facts),
    lineage(facts),
    ranges(facts),
    rowErrors(facts),
    refused(status),
    unread(facts),
  ];
  return {
    title: `${oneLine(status.name)} version ${status.version} ${OUTCOMES[status.status]}`,
    summary: oneLine(status.reason),
    sections: sections.filter((section) => section.rows.length > 0 || section.empty !== undefined),
  };
}

function outcome(status: Status, { run }: ReportFacts): Section {
  const startedAt = run?.startedAt ?? status.startedAt;
  const endedAt = isEnd(status.status) ? (run?.endedAt ?? status.updatedAt) : null;
  const rows: [string, string | null][] = [
    ['Status', status.status],
    ['Owner', status.owner],
    ['Requested by', status.requestedBy],
    ['Risk', status.risk],
    ['Services', status.services.join(', ')],
    ['Started', instant(startedAt)],
    ['Ended', endedAt === null ? null : instant(endedAt)],
    ['Took', endedAt === null ? null : span(Date.parse(endedAt) - Date.parse(startedAt))],
    ['Digest of the plan', status.digest],
    ['Epoch', String(status.epoch)],
    ['Error', status.error === null ? null : `${status.error.code}: ${status.error.message}`],
    ['What to do', status.error?.hint ?? null],
    ['Told by', status.source === 'ledger' ? `the home ledger, as of ${instant(status.updatedAt)}` : 'the run itself'],
    ...Object.entries(status.links).map(([name, url]): [string, string] => [`Link: ${name}`, url]),
  ];
  return {
    heading: 'Outcome',
    columns: ['', ''],
    rows: rows.flatMap(([name, value]) => (value === null || value === '' ? [] : [[name, oneLine(value)]])),
  };
}

function steps(status: Status, facts: ReportFacts): Section {
  const recorded = new Map(facts.steps.map((fact) => [fact.step, fact]));
  return {
    heading: 'Steps',
    columns: ['Phase', 'Step', 'Kind', 'State', 'Progress', 'Note', 'Begun', 'Done'],
    rows: status.phases.flatMap((phase) =>
      phase.steps.map((step) => {
        const fact = recorded.get(step.id);
        const done = fact?.undoneAt ?? fact?.appliedAt ?? null;
        return [
          phase.name,
          step.id,
          step.uses,
          step.state,
          step.progress === null ? '' : progressWords(step.progress, false),
          oneLine(step.note ?? fact?.note ?? ''),
          fact === undefined ? '' : instant(fact.intendedAt),
          done === null ? '' : instant(done),
        ];
      }),
    ),
    empty: 'The run ended before its plan was read.',
  };
}

const failures = (facts: ReportFacts): Section => ({
  heading: 'Failures on the way',
  columns: ['Step', 'Direction', 'Times', 'Last', 'Why'],
  rows: facts.failures.map((fact) => [
    fact.step,
    fact.direction,
    String(fact.failures),
    instant(fact.at),
    oneLine(fact.lastError),
  ]),
});

/** The plan’s digest has its line among the facts of the outcome. */
const detailOf = ({ data }: AuditFact): string => dataWords({ ...data, digest: null });

const decisions = ({ audit }: ReportFacts): Section => ({
  heading: 'Decisions',
  columns: ['When', 'What', 'By', 'Identity', 'Details'],
  rows: audit
    .filter(({ type }) => DECISIONS.includes(type))
    .map((event) => [
      instant(event.at),
      event.type,
      oneLine(event.by ?? ''),
      event.identity ?? 'claimed',
      detailOf(event),
    ]),
});

const timeline = ({ audit }: ReportFacts): Section => ({
  heading: 'Timeline',
  columns: ['When', 'What', 'By', 'Details'],
  rows: audit.map((event) => [instant(event.at), event.type, oneLine(event.by ?? ''), detailOf(event)]),
});

const lineage = (facts: ReportFacts): Section => ({
  heading: 'Data changed',
  columns: ['Database', 'Object', 'Step', 'Direction', 'What', 'Rows', 'Records', 'Digest', 'First', 'Last'],
  rows: facts.lineage.map((fact) => [
    fact.database,
    oneLine(fact.object),
    fact.step,
    fact.direction,
    fact.kind,
    BigInt(fact.rowsChanged).toLocaleString('en-US'),
    fact.events,
    digestWords(fact).replace('digest ', ''),
    instant(fact.from),
    instant(fact.to),
  ]),
});

const ranges = ({ ranges: altered, rangesLeftOut }: ReportFacts): Section => ({
  heading: rangesLeftOut === 0 ? 'Altered ranges' : `Altered ranges (${counted(rangesLeftOut, 'older one')} left out)`,
  columns: ['When', 'Table', 'Step', 'What', 'Keys', 'Rows', 'Digest', 'By'],
  rows: altered.map((range) => [
    instant(range.at),
    oneLine(`${range.database}/${range.schema}.${range.table}`),
    range.step,
    range.direction === 'down' ? `${range.kind} (undo)` : range.kind,
    keyWords(range),
    BigInt(range.rows).toLocaleString('en-US'),
    digestWords(range).replace('digest ', ''),
    oneLine(range.by ?? ''),
  ]),
});

const rowErrors = (facts: ReportFacts): Section => ({
  heading: 'Rows that could not be changed',
  columns: ['Database', 'Step', 'SQLSTATE', 'Rows'],
  rows: facts.rowErrors.map(({ database, step, sqlState, rows }) => [database, step, sqlState, rows]),
});

const refused = (status: Status): Section => ({
  heading: 'Refused messages',
  columns: ['When', 'Message', 'Why'],
  rows: status.refused.map(({ at, message, reason }) => [instant(at), oneLine(message), oneLine(reason)]),
});

const unread = (facts: ReportFacts): Section => ({
  heading: 'Ledgers that could not be read',
  columns: ['Database', 'Why'],
  rows: facts.unread.map(({ database, reason }) => [database, oneLine(reason)]),
});
