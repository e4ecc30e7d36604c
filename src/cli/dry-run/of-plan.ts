import { SwitchbackError } from '../../messages/index.ts';
import type { Invocation } from '../cli.ts';
import type { PlanFile } from '../plan-file.ts';
import { readSettings } from '../settings.ts';
import type { DryRun } from './dry-run.ts';

/** Rehearses a plan on copies of the databases of the configuration; tells on stderr how far it is. */
export async function dryRunOf(
  { globals, terminal }: Pick<Invocation, 'globals' | 'terminal'>,
  { check: { plan, digest } }: PlanFile,
): Promise<DryRun> {
  const { config, configProblem } = readSettings(globals, terminal);
  if (config === null) {
    throw (
      configProblem ??
      new SwitchbackError(
        'ConfigInvalid',
        'a dry run reads the schemas of the databases, and there is no configuration',
        {
          hint: 'name one with --config, or start `switchback dev` here',
        },
      )
    );
  }
  // Loaded here only: the engine's effects, and a Postgres of its own.
  const { dryRun } = await import('./dry-run.ts');
  return dryRun({ plan, digest, urls: config.databases, say: (line) => terminal.err(`dry run: ${line}`) });
}
