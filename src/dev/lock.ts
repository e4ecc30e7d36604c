import { execFileSync } from 'node:child_process';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const TRIES_MAX = 3;

/** A lock file that names its owner, so that one whose owner was killed is taken over and never has to be removed. */
export type LockAttempt = { held: true; release(): void } | { held: false; ownerPid: number | null };

/**
 * Tells a process from a later one with the same id: containers count from 1 again at each start. Null where there is
 * no such process.
 */
export function stampOf(pid: number): string | null {
  try {
    if (process.platform === 'linux') {
      // Field 22 of proc(5)'s stat is the start time; the name before it is in brackets and may contain spaces.
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
      return fields[0] === 'Z' ? null : (fields[19] ?? null);
    }
    if (process.platform !== 'win32')
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
    process.kill(pid, 0);
    return 'alive';
  } catch {
    return null;
  }
}

/** Takes the lock unless a living process holds it. */
export function tryLock(file: string): LockAttempt {
  // Written aside and linked, so that the lock appears with its owner's name in it or not at all.
  const aside = `${file}.${process.pid}`;
  writeFileSync(aside, JSON.stringify({ pid: process.pid, stamp: stampOf(process.pid) }));
  try {
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      try {
        linkSync(aside, file);
        return { held: true, release: () => rmSync(file, { force: true }) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      if (isHeld(file)) return { held: false, ownerPid: readOwner(file)?.pid ?? null };
      rmSync(file, { force: true });
    }
    return { held: false, ownerPid: null };
  } finally {
    rmSync(aside, { force: true });
  }
}

/** Whether a living process holds the lock. */
export function isHeld(file: string): boolean {
  const owner = readOwner(file);
  return owner !== null && owner.stamp !== null && stampOf(owner.pid) === owner.stamp;
}

function readOwner(file: string): { pid: number; stamp: string | null } | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as { pid: number; stamp: string | null };
  } catch {
    return null;
  }
}
