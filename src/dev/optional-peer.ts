import { SwitchbackError } from '../messages/index.ts';

/**
 * The error where a package is missing that only `switchback dev` needs. They are optional peers: who runs a worker
 * against real servers doesn't install a Postgres and an Unleash with it.
 */
export function peerMissing(name: string, purpose: string, cause: unknown): SwitchbackError {
  return new SwitchbackError('ConfigInvalid', `${purpose} needs the package ${name}, which is not installed`, {
    hint: `npm install --save-dev ${name}`,
    fields: { package: name },
    cause,
  });
}

/** Whether `error` says that a package could not be found (and not that it was found and is broken). */
export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
}
