import type { Run } from './run.ts';

/**
 * Waits `remainingMs` of running time: a pause, and a continue-as-new, store the remainder through `keep`.
 * Two events (its timer) for each stretch.
 */
export async function soak(
  run: Run,
  key: string,
  words: string,
  remainingMs: number,
  keep: (ms: number) => void,
): Promise<void> {
  let left = remainingMs;
  while (left > 0) {
    await run.until(() => !run.standing);
    const since = Date.now();
    try {
      await run.waitSaying(key, `${words} until ${new Date(since + left).toISOString()}`, () => run.standing, left);
    } finally {
      left = Math.max(0, left - (Date.now() - since));
      keep(left);
    }
  }
}
