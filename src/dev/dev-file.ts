import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { isAlive } from './alive.ts';

/** What `switchback dev` runs, for the other commands to find. It holds credentials: only its owner can read it. */
export interface DevFile {
  temporal: { address: string; ui: string | null };
  /** Name → URL. */
  databases: Record<string, string>;
  unleash: { url: string; adminToken: string; clientToken: string } | null;
  board: string | null;
  /** The configuration in use, absolute, so that the other commands know it from any directory; null: defaults. */
  config: string | null;
  pids: { worker: number | null; temporal: number | null; postgres: number | null; unleash: number | null };
}

/** The name, in the configuration's terms and in Postgres, of the home ledger's own database. No plan can name it. */
export const EMBEDDED_LEDGER = 'switchback_ledger';

/** What to start beside Temporal. */
export interface ServersWanted {
  /** Names of the databases to have in the embedded Postgres; without any, and without Unleash, there is none. */
  databases: readonly string[];
  unleash: boolean;
}

export const DATA_DIRECTORY = '.switchback';
const FILE = 'dev.json';

/** Writes the file whole: a reader finds the old or the new one, never half of it. */
export function writeDevFile(dataDir: string, content: DevFile): void {
  const file = join(dataDir, FILE);
  const half = `${file}.${process.pid}`;
  writeFileSync(half, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(half, file);
}

export function removeDevFile(dataDir: string): void {
  rmSync(join(dataDir, FILE), { force: true });
}

/**
 * The running `switchback dev` of `dir` or the nearest directory above it; null where there is none. The file that a
 * killed one left behind doesn't count.
 */
export function loadDevFile(dir: string = process.cwd()): DevFile | null {
  for (let at = resolve(dir); ; at = dirname(at)) {
    const found = readDevFile(join(at, DATA_DIRECTORY, FILE));
    if (found !== null) return found;
    if (at === dirname(at)) return null;
  }
}

function readDevFile(file: string): DevFile | null {
  let content: DevFile;
  try {
    content = JSON.parse(readFileSync(file, 'utf8')) as DevFile;
  } catch {
    return null;
  }
  const { temporal, postgres, unleash, worker } = content.pids;
  return [temporal, postgres, unleash, worker].some((pid) => pid !== null && isAlive(pid)) ? content : null;
}
