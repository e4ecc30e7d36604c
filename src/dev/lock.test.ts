import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isHeld, tryLock } from './lock.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'switchback-lock-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

describe('a lock file', () => {
  it('is held by one at a time, and free again when it is released', () => {
    const file = join(dir, 'lock');
    const first = tryLock(file);
    expect(first.held).toBe(true);
    expect(isHeld(file)).toBe(true);
    expect(tryLock(file)).toEqual({ held: false, ownerPid: process.pid });
    if (first.held) first.release();
    expect(isHeld(file)).toBe(false);
    expect(tryLock(file).held).toBe(true);
  });

  it('of a process that has ended is taken over', async () => {
    const file = join(dir, 'lock');
    const gone = spawn(process.execPath, ['-e', '']);
    await once(gone, 'exit');
    writeFileSync(file, JSON.stringify({ pid: gone.pid, stamp: '1' }));
    expect(isHeld(file)).toBe(false);
    expect(tryLock(file).held).toBe(true);
  });

  it('whose pid now belongs to another process is taken over', () => {
    const file = join(dir, 'lock');
    writeFileSync(file, JSON.stringify({ pid: process.ppid, stamp: 'of an earlier process' }));
    expect(tryLock(file).held).toBe(true);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ pid: process.pid });
  });

  it('that nobody can read is taken over', () => {
    const file = join(dir, 'lock');
    writeFileSync(file, '');
    expect(tryLock(file).held).toBe(true);
    expect(readdirSync(dir)).toEqual(['lock']);
  });
});
