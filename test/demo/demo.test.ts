import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { isAlive } from '../../src/dev/alive.ts';
import type { DevFile } from '../../src/dev/dev-file.ts';

/** `npm run demo` as a newcomer runs it, with fewer users; its proofs decide (proofs.test.ts shows that they can fail). */
const DEMO_MAX_MS = 300_000;
const USERS = '20000';

interface Demo {
  dir: string;
  /** Resolves when the output matches. */
  until(pattern: RegExp): Promise<void>;
  interrupt(): void;
  end: Promise<{ code: number | null; output: string }>;
}

function demo(...args: string[]): Demo {
  const dir = mkdtempSync(join(tmpdir(), 'switchback-demo-'));
  const child = spawn(process.execPath, ['scripts/demo/main.ts', '--users', USERS, '--dir', dir, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let seen: (() => void) | undefined;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      seen?.();
    });
  }
  const end = new Promise<{ code: number | null; output: string }>((resolve) =>
    child.once('close', (code) => resolve({ code, output })),
  );
  onTestFinished(async () => {
    child.kill('SIGINT');
    await end;
    rmSync(dir, { recursive: true, force: true });
  });
  return {
    dir,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        seen = () => pattern.test(output) && resolve();
        seen();
        void end.then(() => reject(new Error(`ended without ${String(pattern)}:\n${output}`)));
      }),
    interrupt: () => void child.kill('SIGINT'),
    end,
  };
}

/** Temporal, Postgres, Unleash and the worker of a demo that is up. */
function pidsOf({ dir }: Demo): number[] {
  const dev = JSON.parse(readFileSync(join(dir, '.switchback', 'dev.json'), 'utf8')) as DevFile;
  return Object.values(dev.pids).filter((pid) => pid !== null);
}

test('the migration completes under traffic, and everything is proven; --keep leaves it up', {
  timeout: DEMO_MAX_MS,
}, async () => {
  const run = demo('--keep');
  await run.until(/stays up until Ctrl-C[\s\S]*databases/);
  const pids = pidsOf(run);
  expect(pids.filter(isAlive)).toHaveLength(4);
  run.interrupt();
  const { code, output } = await run.end;
  expect(pids.filter(isAlive)).toEqual([]);
  for (const stop of ['5 %', '25 %', '100 %'])
    expect(output).toMatch(new RegExp(`  ${stop}: 3 of 3 instances acted on it.*; users with errors: new path 0 % of`));
  expect(output).toContain('0 divergent rows of 60,');
  expect(output).toMatch(/no request failed: 0 of [\d,]+ failed/);
  expect(output).toContain('all of it proven');
  expect(output).not.toContain('✗');
  expect(code).toBe(0);
  expect(readFileSync(join(run.dir, 'report.md'), 'utf8')).toContain('# split-full-name version 1 completed');
});

test('--break: the gate (or, on a slow machine, a guard) stops it, and everything is as it was', {
  timeout: DEMO_MAX_MS,
}, async () => {
  const run = demo('--break');
  const { code, output } = await run.end;
  expect(output).toMatch(/ at 25 %: the new path is worse: .*; evidence .* of 20 needed|guard ".*" was breached/);
  expect(output).toMatch(/\d s later all instances were back on the old path/);
  expect(output).toMatch(/✓ (the gate|a guard) stopped it/);
  expect(output).toContain('✓ nobody was on the new path any more');
  expect(output).toContain('✓ the schemas are as they were');
  expect(output).toContain('✓ the flag is as it was');
  expect(output).toContain('✓ no write was lost');
  expect(output).not.toContain('✗');
  expect(code).toBe(0);
  expect(readFileSync(join(run.dir, 'report.md'), 'utf8')).toContain('# split-full-name version 1 was rolled back');
});

test('Ctrl-C in the middle stops everything that was started', { timeout: DEMO_MAX_MS }, async () => {
  const run = demo('--keep');
  // A phase of milliseconds may be over before it is seen: any sign that the plan is under way will do.
  await run.until(/(phase|step) \S+/);
  const pids = pidsOf(run);
  expect(pids.filter(isAlive)).toHaveLength(4);
  run.interrupt();
  const { code, output } = await run.end;
  expect(output).toContain('stopped');
  expect(code).toBe(130);
  expect(pids.filter(isAlive)).toEqual([]);
});

test('a directory that no demo made is not wiped', async () => {
  const { code, output } = await demo('--dir', '.').end;
  expect(output).toContain('no demo made it');
  expect(code).toBe(1);
});
