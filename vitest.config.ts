import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const MINUTE_MS = 60_000;

// Every file's tests, and every worker and command that they start, is a process of its own: what Node has compiled once
// need not be compiled in each of them.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(
  new URL('node_modules/.cache/switchback/compiled', import.meta.url),
);

/** `unit`: pure, beside the source, no servers. `real`: in test/, against one Temporal, Postgres and Unleash per run. */
export default defineConfig({
  test: {
    pool: 'forks',
    // One more than the two cores that this must run on: tests wait for half of their time.
    maxWorkers: 3,
    reporters: ['default', './test/harness/closing-line.ts'],
    projects: [
      { test: { name: 'unit', include: ['src/**/*.test.ts', 'scripts/**/*.test.ts'], testTimeout: 10_000 } },
      {
        test: {
          name: 'real',
          include: ['test/**/*.test.ts'],
          globalSetup: ['test/harness/global-setup.ts'],
          testTimeout: MINUTE_MS,
          hookTimeout: MINUTE_MS,
        },
      },
    ],
  },
});
