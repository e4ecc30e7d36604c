const UNITS_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration of a checked plan in milliseconds. The workflow's own: `plan/` brings zod, which may not be bundled. */
export function durationMs(text: string): number {
  const [, count, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? [];
  return Number(count) * (UNITS_MS[unit ?? ''] ?? Number.NaN);
}
