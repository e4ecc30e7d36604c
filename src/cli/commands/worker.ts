import type { CommandMaker } from '../cli.ts';

export const worker: CommandMaker = (cli) =>
  cli.command('worker', 'run a worker of the configuration, in the foreground', async ({ globals, terminal }) => {
    // Loaded here only: the worker brings the workflow bundle and Temporal's core with it.
    const { runWorker } = await import('../../worker/main.ts');
    const { config, address, namespace, profile, taskQueue } = globals;
    const env = {
      ...terminal.env,
      ...(address !== undefined && { TEMPORAL_ADDRESS: address }),
      ...(namespace !== undefined && { TEMPORAL_NAMESPACE: namespace }),
      ...(profile !== undefined && { TEMPORAL_PROFILE: profile }),
    };
    return runWorker({ configFile: config ?? null, env, ...(taskQueue !== undefined && { taskQueue }) });
  });
