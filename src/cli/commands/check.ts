import { relative, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type LiveCheck, type StopNeeds, SwitchbackError } from '../../messages/index.ts';
import type { PlanProblem } from '../../plan/file/problem.ts';
import { checkText } from '../../report/check-text.ts';
import { sarifLog } from '../../report/sarif.ts';
import type { CommandMaker, Invocation } from '../cli.ts';
import { EXIT } from '../exit-code.ts';
import { packageVersion } from '../package-version.ts';
import type { DryRun } from '../dry-run/dry-run.ts';
import { dryRunText } from '../dry-run/dry-run-text.ts';
import { dryRunOf } from '../dry-run/of-plan.ts';
import { askLive } from '../live-answer.ts';
import { openPlanFile, type PlanFile } from '../plan-file.ts';
import { type WindowOutlook, windowOutlook } from '../window-outlook.ts';
import { writeFile } from '../write-file.ts';

const HINT = 'correct the plan and check it again; docs/plan-format.md has every field';
const PIPE_COLUMNS = 120;

interface Options {
  offline?: boolean;
  dryRun?: boolean;
  /** A file, or true for stdout. */
  sarif?: string | true;
}
type Live = LiveCheck | { skipped: string };

export const check: CommandMaker = (cli) =>
  cli.command<Options>(
    'check <plan>',
    'check a plan file, then, where a worker answers, its statements against the live databases',
    async (invocation) => {
      const { args, options, globals, terminal } = invocation;
      if (options.sarif === true && globals.json === true) {
        throw new SwitchbackError('UsageInvalid', '--json and --sarif would both write to stdout', {
          hint: 'give --sarif a file',
        });
      }
      if (options.offline === true && options.dryRun === true) {
        throw new SwitchbackError(
          'UsageInvalid',
          '--dry-run reads the schemas of the databases, which --offline rules out',
          {
            hint: 'give one of the two',
          },
        );
      }
      const [path = ''] = args;
      const file = await openForCheck(path, invocation);
      const { gateNeeds } = await import('../../activities/gate-needs.ts');
      const bakes = gateNeeds(file.check.plan);
      const live = options.offline === true ? { skipped: 'left out (--offline)' } : await askLive(invocation, file);
      const dryRun = options.dryRun === true ? await dryRunOf(invocation, file) : null;
      const problems = [...('problems' in live ? live.problems : []), ...(dryRun?.problems ?? [])];
      if (options.sarif !== undefined) writeSarif(path, invocation, { live, fileProblems: [] });
      if (options.sarif !== true) {
        const windows = windowOutlook(file.check.plan, new Date());
        invocation.print(jsonOf(path, file, { windows, bakes, live, dryRun }, problems.length === 0), () =>
          [
            checkText(
              { path, ...file.check, windows, bakes, live, sarif: options.sarif ?? null },
              { width: terminal.screen?.columns ?? PIPE_COLUMNS, color: terminal.color },
            ),
            ...(dryRun === null ? [] : [dryRunText(dryRun)]),
          ].join('\n'),
        );
      }
      return problems.length === 0 ? EXIT.done : EXIT.input;
    },
    (command) =>
      command
        .option('--offline', 'check the file alone')
        .option('--dry-run', 'run the plan’s DDL on copies of the schemas, up and down, twice')
        .option('--sarif [file]', 'write what was found as SARIF 2.1.0, to a file or stdout'),
  );

/** A wrong file is told to reviewers too. */
async function openForCheck(path: string, invocation: Invocation<Options>): Promise<PlanFile> {
  try {
    return await openPlanFile(path, invocation.terminal.cwd, { hint: HINT });
  } catch (error) {
    if (invocation.options.sarif !== undefined && error instanceof SwitchbackError && 'problems' in error) {
      const fileProblems = error.problems as readonly PlanProblem[];
      writeSarif(path, invocation, { live: { skipped: 'the plan file is wrong' }, fileProblems });
    }
    throw error;
  }
}

const jsonOf = (
  path: string,
  { check: { plan, digest, claims, gates, risks } }: PlanFile,
  { windows, bakes, live, dryRun }: { windows: WindowOutlook[]; bakes: StopNeeds[]; live: Live; dryRun: DryRun | null },
  ok: boolean,
) => ({
  ok,
  file: path,
  name: plan.metadata.name,
  version: plan.metadata.version,
  digest,
  risks,
  gates: gates.map(({ gate }) => gate),
  claims,
  windows,
  bakes,
  live,
  ...(dryRun !== null && { dryRun }),
});

function writeSarif(
  path: string,
  { options, terminal }: Invocation<Options>,
  { live, fileProblems }: { live: Live; fileProblems: readonly PlanProblem[] },
): void {
  const log = sarifLog({
    version: packageVersion(),
    uri: uriOf(path, terminal.cwd),
    fileProblems,
    ...('skipped' in live
      ? { findings: [], problems: [], skipped: live.skipped }
      : { findings: live.findings, problems: live.problems, skipped: null }),
  });
  const text = JSON.stringify(log, null, 2);
  if (options.sarif === undefined || options.sarif === true) terminal.out(text);
  else writeFile(terminal.cwd, options.sarif, `${text}\n`, '--sarif');
}

/** Relative to the working directory, which in code review is the repository's root; else absolute. */
function uriOf(path: string, cwd: string): string {
  const from = relative(cwd, resolve(cwd, path));
  if (from.startsWith('..') || resolve(from) === from) return pathToFileURL(resolve(cwd, path)).href;
  return from.split(sep).map(encodeURIComponent).join('/');
}
