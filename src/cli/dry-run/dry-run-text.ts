import { counted } from '../../messages/index.ts';
import { oneLine } from '../../report/plain-text.ts';
import type { ObservedTransaction } from '../../adapters/postgres/observed-database.ts';
import type { DryRun, DryRunDatabase } from './dry-run.ts';
import type { RehearsedEffect } from './rehearsal.ts';

/** A dry run for a terminal or a pipe: the outcome first, then what changed, then what ran with the locks it took. */
export function dryRunText(run: DryRun): string {
  if (run.databases.length === 0) return 'dry run: no step changes a schema';
  return [
    `dry run: ${run.ok ? 'everything came back as it was, twice' : counted(run.problems.length, 'problem')}`,
    ...run.problems.map((problem) => `  problem: ${oneLine(problem)}`),
    ...run.databases.flatMap(databaseLines),
    '  up',
    ...run.effects.filter(({ direction }) => direction === 'up').flatMap(effectLines),
    '  back',
    ...run.effects.filter(({ direction }) => direction === 'down').flatMap(effectLines),
    ...run.left.map(({ step, why }) => `  not run: ${step}: ${why}`),
  ].join('\n');
}

function databaseLines({ name, original, copy, missing, changed }: DryRunDatabase): string[] {
  return [
    `  ${name}: Postgres ${original}, copied without data to ${copy}`,
    ...missing.map((words) => `    not copied: ${oneLine(words)}`),
    ...(changed.length === 0 ? ['    no change'] : changed.map((words) => `    ${oneLine(words)}`)),
  ];
}

function effectLines({ step, database, note, error, transactions }: RehearsedEffect): string[] {
  const outcome = error === null ? (note ?? '') : `${error.code}: ${error.message}`;
  return [`    ${step} (${database}): ${oneLine(outcome)}`, ...transactions.flatMap(transactionLines)];
}

function transactionLines({ statements, locks }: ObservedTransaction): string[] {
  const held =
    locks === null
      ? 'outside of a transaction, as CONCURRENTLY asks'
      : locks.length === 0
        ? 'no lock on what was there before'
        : locks.map(({ schema, relation, mode }) => `${mode} on ${schema}.${relation}`).join(', ');
  return [...statements.map((statement) => `      ${oneLine(withoutBody(statement))}`), `        ${held}`];
}

/** Bodies of functions would bury the rest; `--json` has them. */
const withoutBody = (statement: string): string => statement.replace(/^(\s*CREATE\b.*?\bAS )(\$\w*\$).*\2/s, '$1…');
