import { type DevFile, loadDevFile } from '../dev/dev-file.ts';
import { DEFAULT_TASK_QUEUE, SwitchbackError } from '../messages/index.ts';
import { type Config, loadConfig } from '../worker/config.ts';
import type { Globals } from './globals.ts';
import type { Terminal } from './terminal.ts';

/** What a command knows of its surroundings: the configuration where it can be read, and a running `switchback dev`. */
export interface Settings {
  config: Config | null;
  /** Why there is no configuration; null where there is one. */
  configProblem: SwitchbackError | null;
  dev: DevFile | null;
  taskQueue: string;
}

/**
 * Most commands only steer, and need no database. The configuration is the one that `--config` names, else that of the
 * `switchback dev` that runs here, else the directory's own. Without `--config`, a configuration that can't be used here (its
 * variables are set for the worker alone) is left aside and remembered.
 * @throws SwitchbackError ConfigInvalid where `--config` names the file
 */
export function readSettings(globals: Globals, { env, cwd }: Terminal): Settings {
  const dev = loadDevFile(cwd);
  try {
    const config = loadConfig({ file: globals.config ?? dev?.config ?? null, env, dev });
    return { config, configProblem: null, dev, taskQueue: globals.taskQueue ?? config.taskQueue };
  } catch (error) {
    if (!(error instanceof SwitchbackError) || globals.config !== undefined) throw error;
    return { config: null, configProblem: error, dev, taskQueue: globals.taskQueue ?? DEFAULT_TASK_QUEUE };
  }
}
