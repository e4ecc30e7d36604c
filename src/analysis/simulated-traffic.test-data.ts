import type { Window } from './gate-window.ts';

/** A number in [0, 1), uniformly distributed. */
export type Random = () => number;

/**
 * Xoshiro128** of Blackman and Vigna ("Scrambled linear pseudorandom number generators", 2021), its state filled from the seed
 * by SplitMix32. 32 bits of it make a number, which is finer than any rate that is simulated here.
 */
export function randomOf(seed: number): Random {
  let mixed = seed | 0;
  const split = (): number => {
    mixed = (mixed + 0x9e3779b9) | 0;
    let z = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return z ^ (z >>> 15);
  };
  let [a, b, c, d] = [split(), split(), split(), split()];
  return () => {
    const product = Math.imul(b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9);
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return (result >>> 0) / 2 ** 32;
  };
}

/** How many of `n` independent trials succeed; exact: it walks from success to success by geometric gaps. */
export function binomial(random: Random, n: number, p: number): number {
  if (p <= 0) return 0;
  if (p > 0.5) return n - binomial(random, n, 1 - p);
  const logMiss = Math.log1p(-p);
  let successes = -1;
  for (let at = 0; at <= n; at += 1 + Math.floor(Math.log(1 - random()) / logMiss)) successes++;
  return successes;
}

/** One window of a service: how much traffic, which share of it is on the new path, and how often both fail. */
export interface Traffic {
  requests: number;
  share: number;
  oldRate: number;
  newRate: number;
}

/** How many are on which path is given, as it is for the test; each request fails by itself. */
export function windowOf(random: Random, { requests, share, oldRate, newRate }: Traffic): Window {
  const fresh = Math.round(requests * share);
  return {
    old: { total: requests - fresh, bad: binomial(random, requests - fresh, oldRate) },
    new: { total: fresh, bad: binomial(random, fresh, newRate) },
  };
}
