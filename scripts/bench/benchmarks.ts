import { BACKFILLS } from './backfill.ts';
import type { Benchmark } from './benchmark.ts';
import { MANY_AT_ONCE, STEP_OVERHEAD } from './engine.ts';
import { DUAL_WRITE_COST, FOREGROUND, FOREGROUND_GENTLE } from './foreground.ts';
import { HISTORY, IDLE, RECOVERY } from './long-runs.ts';
import { SWITCHES } from './switch.ts';
import { VERIFY_ACROSS } from './verify-across.ts';
import { VERIFY } from './verify.ts';

/** All benchmarks, in the order of the table. */
export const BENCHMARKS: readonly Benchmark[] = [
  ...BACKFILLS,
  FOREGROUND,
  FOREGROUND_GENTLE,
  DUAL_WRITE_COST,
  VERIFY,
  VERIFY_ACROSS,
  STEP_OVERHEAD,
  MANY_AT_ONCE,
  IDLE,
  HISTORY,
  RECOVERY,
  ...SWITCHES,
];
