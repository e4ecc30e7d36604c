import type { CommandMaker } from '../cli.ts';

export const worker: CommandMaker = (cli) =>
  cli.command('worker', 'run a worker of the configuration, in the foreground', async ({ globals }) => {
    // Loaded here only: the worker brings the workflow bundle and Temporal's core with it.
    const { runWorker } = await import('../../worker/main.ts');
    return runWorker({ configFile: globals.config ?? null });
  });
