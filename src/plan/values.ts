import { z } from 'zod';

const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(\d+)(ms|s|m|h|d)$/;

/** A duration as the plan writes it (`500ms`, `30s`, `15m`, `24h`, `14d`), in milliseconds; NaN where it isn't one. */
export function durationMs(text: string): number {
  const match = DURATION.exec(text);
  return match === null ? Number.NaN : Number(match[1]) * UNITS_MS[match[2] as keyof typeof UNITS_MS];
}

export const duration = z
  .string({ error: 'a duration such as 500ms, 30s, 15m, 24h or 14d' })
  .regex(DURATION, { error: 'a duration such as 500ms, 30s, 15m, 24h or 14d' })
  .refine((text) => durationMs(text) <= 3650 * UNITS_MS.d, { error: 'a duration of at most 3650d' })
  .meta({ description: 'A duration: a whole number and ms, s, m, h or d.', examples: ['30s', '15m'] });

/** A DNS label (RFC 1123): it becomes part of workflow IDs, trigger names and lock names. */
export const label = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, {
    error: 'a DNS label: 1 to 63 of a-z, 0-9 and -, not starting or ending with -',
  })
  .meta({ description: 'A DNS label (RFC 1123).' });

/** A version as services state it; a number in YAML would lose its last zero (1.10 is 1.1). */
export const version = z
  .string({ error: 'a version in quotes, such as "1.10": YAML reads 1.10 without them as the number 1.1' })
  .min(1)
  .max(100);

const bytesIn = (text: unknown): number => new TextEncoder().encode(String(text)).length;

/** An identifier of Postgres, as stored in the catalog (unquoted here; case counts), at most 63 bytes. */
export const identifier = z
  .string()
  .min(1)
  .refine((text) => bytesIn(text) <= 63, {
    error: ({ input }) => `an identifier of at most 63 bytes; this one has ${bytesIn(input)}`,
  })
  .refine((text) => !text.includes('\0'), { error: 'an identifier without NUL' });

export const risk = z.enum(['low', 'moderate', 'high']);
export type Risk = z.infer<typeof risk>;
export const RISKS: readonly Risk[] = ['low', 'moderate', 'high'];
export const higherRisk = (a: Risk, b: Risk): Risk => (RISKS.indexOf(a) >= RISKS.indexOf(b) ? a : b);

const DATE_OR_INSTANT =
  /^(\d{4})-(\d\d)-(\d\d)(T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d))?$/;

const A_DATE = 'a date (2026-12-01) or an instant with its offset (2026-12-01T10:00:00Z)';

/** Whether a text is a day that exists, or an instant on one with its offset from UTC. */
function isDateOrInstant(text: string): boolean {
  const match = DATE_OR_INSTANT.exec(text);
  if (match === null) return false;
  // JavaScript's parser takes 30 February for 2 March.
  const day = new Date(Date.UTC(Number(match[1]), Number(match[2]) - 1, Number(match[3])));
  return day.toISOString().startsWith(text.slice(0, 10));
}

/** A day (`2026-12-01`) or an instant with its offset (`2026-12-01T10:00:00Z`). YAML dates are read as text. */
export const dateOrInstant = z
  .string({ error: A_DATE })
  .refine(isDateOrInstant, { error: A_DATE })
  .meta({ description: 'A date, or an instant with its offset (RFC 3339).', examples: ['2026-12-01'] });

const A_ZONE = 'a time zone of the IANA database, such as Europe/Oslo';

/** Whether this machine knows a zone of that name. */
function isTimezone(text: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone !== '' && !/^[+-]/.test(text);
  } catch {
    return false;
  }
}

export const timezone = z
  .string({ error: A_ZONE })
  .refine(isTimezone, { error: A_ZONE })
  .meta({ description: 'A time zone of the IANA database.', examples: ['Europe/Oslo'] });

/** The digest of a database's schema, as `check` prints it. */
export const schemaDigest = z.string().regex(/^sha256:[0-9a-f]{64}$/, {
  error: 'the digest of a schema as `check` prints it: sha256: and 64 hexadecimal digits',
});
export const httpUrl = z.url({ protocol: /^https?$/, error: 'an http(s) URL' });
export const sqlText = z.string().min(1).max(100_000);
export const count = z.int().nonnegative();
