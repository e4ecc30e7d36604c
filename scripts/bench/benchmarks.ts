import { BACKFILLS } from './backfill.ts';
import type { Benchmark } from './benchmark.ts';
import { VERIFY } from './verify.ts';

/** All benchmarks, in the order of the table. */
export const BENCHMARKS: readonly Benchmark[] = [...BACKFILLS, VERIFY];
