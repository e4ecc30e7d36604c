import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { NativeConnectionOptions } from '@temporalio/worker';
import { SwitchbackError } from '../messages/index.ts';
import type { Config } from './config.ts';

/** Temporal's address, namespace, API key and TLS: the standard `TEMPORAL_*` variables or profile, else `switchback dev`'s. */
export function connectionOptions(
  config: Config,
  env: NodeJS.ProcessEnv,
): { options: NativeConnectionOptions; namespace: string } {
  try {
    const { connectionOptions: given, namespace } = loadClientConnectConfig({
      overrideEnvVars: Object.fromEntries(Object.entries(env).filter(isSet)),
    });
    return { options: { ...given, ...config.temporal }, namespace: namespace ?? 'default' };
  } catch (error) {
    throw new SwitchbackError(
      'ConfigInvalid',
      `the Temporal configuration can't be read: ${(error as Error).message}`,
      {
        hint: 'check the TEMPORAL_* variables and the profile file that TEMPORAL_CONFIG_FILE names',
        cause: error,
      },
    );
  }
}

const isSet = (entry: [string, string | undefined]): entry is [string, string] => entry[1] !== undefined;
