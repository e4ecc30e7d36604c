import { setTimeout as delay } from 'node:timers/promises';
import type { MigrationHandle } from '../../client/migration-handle.ts';
import type { StartedMigration } from '../../client/switchback.ts';
import { type MigrationResult, SwitchbackError } from '../../messages/index.ts';
import type { CommandMaker } from '../cli.ts';
import { EXIT } from '../exit-code.ts';
import { follow } from '../follow.ts';
import { openPlanFile } from '../plan-file.ts';

/** A run that has nothing to do, or is refused by the engine, ends within moments: worth telling at once. */
const EARLY_END_MS = 2_000;
/** A base state is compared before anything else: schemas of thousands of tables take their time. */
const BASE_STATE_MAX_MS = 60_000;
const BEGUN_LOOK_EVERY_MS = 250;
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
        const ended = await earlyEnd(begun, given.check.plan.spec.baseState !== undefined);
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

/**
 * A watched run that finds everything done before shows the same end as one that did it: the difference is said. So is
 * what a refused start says in several lines, of which a status shows one.
 */
async function followAndTell(
  { handle }: StartedMigration,
  watched: () => Promise<number>,
  say: (line: string) => void,
): Promise<number> {
  const waiting = new AbortController();
  const result = handle
    .result({ signal: waiting.signal })
    .then(({ outcome, message }) => (outcome === 'nothing-to-do' ? message : null))
    // Any other failure is whole in the status that was followed.
    .catch((error: unknown) =>
      error instanceof SwitchbackError && error.code === 'BaseStateDiffers' ? error.message : null,
    );
  const code = await watched();
  const told = await Promise.race([result, delay(RESULT_AFTER_END_MS, null)]);
  waiting.abort();
  if (told !== null) say(told);
  return code;
}

/** The result of a run that ends at once; null where it goes on. Throws what it failed with. */
async function earlyEnd({ handle }: StartedMigration, comparesBaseState: boolean): Promise<MigrationResult | null> {
  const waiting = new AbortController();
  const { signal } = waiting;
  const result = handle.result({ signal });
  try {
    const going = comparesBaseState ? begins(handle, signal) : delay(EARLY_END_MS, null, { signal });
    return await Promise.race([result, going]);
  } finally {
    result.catch(() => undefined);
    waiting.abort();
  }
}

/** Waits until the run is registered, which it is once its base state was found right; or nobody can tell. */
async function begins(handle: MigrationHandle, signal: AbortSignal): Promise<null> {
  const until = Date.now() + BASE_STATE_MAX_MS;
  while (!signal.aborted && Date.now() < until) {
    const status = await handle.status().catch(() => null);
    if (status === null || status.epoch > 0) return null;
    await delay(BEGUN_LOOK_EVERY_MS, null, { signal }).catch(() => null);
  }
  return null;
}
