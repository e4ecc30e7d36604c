import { userInfo } from 'node:os';
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
