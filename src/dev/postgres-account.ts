import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, chown, cp, mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

/**
 * Postgres refuses to run as root. Where we are root (containers, CI) it runs as `postgres` or else `nobody`, and what
 * that account can't reach (a checkout or a data directory under /root) is put where it can.
 */
export interface Account {
  uid: number;
  gid: number;
}

const ACCOUNTS = ['postgres', 'nobody'];
const ROOT_HOME = '/var/lib/switchback';
const run = promisify(execFile);

/** The account for Postgres; null where we are not root and it runs as ourselves. */
export async function postgresAccount(): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null;
  for (const name of ACCOUNTS) {
    try {
      const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    } catch {
      // No account of that name here; the next one.
    }
  }
  throw new Error(`Postgres can't run as root, and this machine has no account named ${ACCOUNTS.join(' or ')}`);
}

/** Whether the account may pass through `dir` and all directories above it. */
async function canReach(account: Account, dir: string): Promise<boolean> {
  for (let at = dir; ; at = dirname(at)) {
    const { mode, uid, gid } = await stat(at);
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

/** The directory for Postgres's data: `dir`, or where its account can't reach that, one of the same name elsewhere. */
export async function dataDirectory(dir: string, account: Account | null): Promise<string> {
  await mkdir(dirname(dir), { recursive: true });
  if (account === null) {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    return dir;
  }
  const reachable = await canReach(account, dirname(dir));
  const place = reachable ? dir : join(ROOT_HOME, createHash('sha256').update(dir).digest('hex').slice(0, 16));
  await mkdir(place, { recursive: true });
  await chown(place, account.uid, account.gid);
  await chmod(place, 0o700);
  return place;
}

/** The directory of Postgres's programs: `native`, or a copy of it where its account can't reach that. */
export async function programDirectory(native: string, version: string, account: Account | null): Promise<string> {
  if (account === null || (await canReach(account, join(native, 'bin')))) return native;
  const copy = join(ROOT_HOME, `${basename(dirname(native))}-${version}`);
  if (await stat(copy).catch(() => null)) return copy;
  const half = `${copy}.${process.pid}`;
  await mkdir(ROOT_HOME, { recursive: true });
  await cp(native, half, { recursive: true, verbatimSymlinks: true });
  await rename(half, copy).catch(() => rm(half, { recursive: true }));
  return copy;
}
