import { BACKFILLS } from './backfill.ts';
import type { Benchmark } from './benchmark.ts';
import { DUAL_WRITE_COST, FOREGROUND } from './foreground.ts';
import { VERIFY } from './verify.ts';

/** All benchmarks, in the order of the table. */
export const BENCHMARKS: readonly Benchmark[] = [...BACKFILLS, FOREGROUND, DUAL_WRITE_COST, VERIFY];
