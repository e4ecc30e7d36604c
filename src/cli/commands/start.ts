import { setTimeout as delay } from 'node:timers/promises';
import type { StartedMigration } from '../../client/switchback.ts';
import type { MigrationResult } from '../../messages/index.ts';
import type { CommandMaker } from '../cli.ts';
import { EXIT } from '../exit-code.ts';
import { follow } from '../follow.ts';
import { openPlanFile } from '../plan-file.ts';

/** A run that has nothing to do, or is refused by the engine, ends within moments: worth telling at once. */
const EARLY_END_MS = 2_000;
/** The status of an end and its result come apart by this at most. */
const RESULT_AFTER_END_MS = 500;

export const start: CommandMaker = (cli) =>
  cli.command<{ watch?: boolean }>(
    'start <plan>',
    'start the migration of a plan file',
    async ({ args, options, globals, session, print, terminal }) => {
      const given = await openPlanFile(args[0] ?? '', terminal.cwd);
      return session(async ({ switchback, settings, who }) => {
        const { configProblem } = settings;
        if (configProblem !== null && globals.taskQueue === undefined) {
          terminal.err(`note: no configuration is read here, so the run goes to task queue "${settings.taskQueue}"`);
        }
        const begun = await switchback.startOrFind(given.text, { requestedBy: who });
        if (options.watch === true) {
          if (globals.json !== true) terminal.err(begunText(begun));
          return followAndTell(begun, () => follow(begun.handle, globals, terminal), terminal.err);
        }
        const ended = await earlyEnd(begun);
        const { workflowId, runId, temporal } = await begun.handle.links();
        const { started, digest } = begun;
        print({ name: begun.handle.name, started, digest, workflowId, runId, link: temporal, result: ended }, () =>
          [
            ended === null ? begunText(begun) : endedText(ended),
            ...(ended === null ? [`follow it: ${terminal.program} watch ${begun.handle.name}`] : []),
            ...(temporal === null ? [] : [`or look at ${temporal}`]),
          ].join('\n'),
        );
        return EXIT.done;
      });
    },
    (command) => command.option('--watch', 'follow it to its end'),
  );

const endedText = ({ name, outcome, message }: MigrationResult): string =>
  outcome === 'nothing-to-do' ? `"${name}": ${message}` : `"${name}" ${outcome}: ${message}`;

const begunText = ({ handle, started }: StartedMigration): string =>
  started ? `started "${handle.name}"` : `"${handle.name}" runs already, with this very plan; nothing was started`;

/** A watched run that finds everything done before shows the same end as one that did it: the difference is said. */
async function followAndTell(
  { handle }: StartedMigration,
  watched: () => Promise<number>,
  say: (line: string) => void,
): Promise<number> {
  const waiting = new AbortController();
  // What it failed with is in the status that was followed.
  const result = handle.result({ signal: waiting.signal }).catch(() => null);
  const code = await watched();
  const ended = await Promise.race([result, delay(RESULT_AFTER_END_MS, null)]);
  waiting.abort();
  if (ended?.outcome === 'nothing-to-do') say(ended.message);
  return code;
}

/** The result of a run that ends at once; null where it goes on. Throws what it failed with. */
async function earlyEnd({ handle }: StartedMigration): Promise<MigrationResult | null> {
  const waiting = new AbortController();
  const result = handle.result({ signal: waiting.signal });
  try {
    return await Promise.race([result, delay(EARLY_END_MS, null, { signal: waiting.signal })]);
  } finally {
    result.catch(() => undefined);
    waiting.abort();
  }
}
