import { userInfo } from 'node:os';
import { shellArgument } from '../report/plain-text.ts';
import type { Terminal } from './terminal.ts';

/** The options that every command takes. */
export interface Globals {
  as?: string;
  comment?: string;
  json?: boolean;
  config?: string;
  address?: string;
  namespace?: string;
  profile?: string;
  taskQueue?: string;
  color?: boolean;
}

/** The options that say where to look, as they were given: a command that is shown to be typed next has to carry them. */
export function placeWords({ config, address, namespace, profile, taskQueue }: Globals): string[] {
  const given = { config, address, namespace, profile, 'task-queue': taskQueue };
  return Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, shellArgument(value)],
  );
}

/** Who asks or decides: `--as`, or the name of the account. */
export function whoOf({ as }: Globals, { env }: Terminal): string {
  if (as !== undefined) return as;
  try {
    return userInfo().username;
  } catch {
    // An account without an entry in passwd, as containers have them.
    return env['USER'] ?? 'unknown';
  }
}
