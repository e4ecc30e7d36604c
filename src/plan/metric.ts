import { z } from 'zod';
import { httpUrl, label, sqlText } from './values.ts';

const text = z.string().min(1).max(10_000);
const pointer = z
  .string()
  .regex(/^(\/.*)?$/s, { error: 'a JSON pointer (RFC 6901) such as /errors/count' })
  .max(1000);

/** What src/switch counts for each path; `mismatches` are of both together. */
export const SWITCH_COUNTS = ['errors', 'slow', 'unitsFailed', 'mismatches'] as const;

/** What a metric may be read from; a metric has exactly one of these. */
const metricSources = {
  /** Instant queries (PromQL): two for a ratio, one for a number. */
  prometheus: z.union([z.strictObject({ bad: text, total: text }), text]),
  /** Queries with one row of one column: `bad` and `total` for a ratio, `query` for a number. */
  sql: z.strictObject({
    database: label,
    query: sqlText.optional(),
    bad: sqlText.optional(),
    total: sqlText.optional(),
  }),
  /** A GET request; JSON pointers to `bad` and `total` for a ratio, `path` to a number. */
  http: z.strictObject({ url: httpUrl, path: pointer.optional(), bad: pointer.optional(), total: pointer.optional() }),
  /** What the services' switches of the step's flag have counted, from the home ledger. */
  switch: z.strictObject({ count: z.enum(SWITCH_COUNTS) }),
};
export type MetricSource = keyof typeof metricSources;
export const METRIC_SOURCES = Object.keys(metricSources) as MetricSource[];

export const metric = z
  .strictObject({
    name: z.string().min(1).max(200),
    ...(Object.fromEntries(
      Object.entries(metricSources).map(([key, schema]) => [key, schema.optional()]),
    ) as unknown as { [K in MetricSource]: z.ZodOptional<(typeof metricSources)[K]> }),
    margin: z
      .number()
      .gt(1)
      .max(16)
      .optional()
      .meta({ description: 'For a ratio: how many times as bad the new path may be before the gate must not pass.' }),
    max: z.number().optional().meta({ description: 'For a number: the most that it may be.' }),
    critical: z
      .boolean()
      .default(false)
      .meta({ description: 'One reading over `max` rolls back at once, whatever the statistics say.' }),
  })
  .refine((value) => METRIC_SOURCES.filter((source) => value[source] !== undefined).length === 1, {
    error: `exactly one of ${METRIC_SOURCES.join(', ')}`,
  });
export type Metric = z.output<typeof metric>;

/** The path of a read or a write: the one that there was, or the one that is rolled out. */
export type MetricPath = 'old' | 'new';

/**
 * `ratio`: bad ones of a total, of each path, compared with each other. `limit`: one number that must not be over `max`.
 * Which of the two a metric is shows in its source, for a switch's counts in whether there is a `max`.
 */
export function metricForm({ prometheus, sql, http, switch: counts, max }: Metric): 'ratio' | 'limit' {
  if (prometheus !== undefined) return typeof prometheus === 'string' ? 'limit' : 'ratio';
  const queries = sql ?? http;
  if (queries !== undefined) return queries.bad !== undefined || queries.total !== undefined ? 'ratio' : 'limit';
  return counts?.count === 'mismatches' || max !== undefined ? 'limit' : 'ratio';
}

const WORDS = ['path', 'interval'] as const;
/** `$word` and `${word}`; not what a regular expression or a dollar quote ends with. */
const WORD = /\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*)(?![\w$]))/g;
type Word = (typeof WORDS)[number];
const isWord = (word: string): word is Word => (WORDS as readonly string[]).includes(word);

/** The words that a query or address of a metric names, in their order, with where they stand. */
export const metricWords = (query: string): { word: string; known: boolean; offset: number }[] =>
  [...query.matchAll(WORD)].map((match) => {
    const word = match[1] ?? match[2] ?? '';
    return { word, known: isWord(word), offset: match.index };
  });

export const namesWord = (query: string, word: Word): boolean =>
  metricWords(query).some((found) => found.word === word);

/**
 * Puts values in the place of `$path` and `$interval`, and of nothing else. Both are ours (one of two words, and a whole
 * number of seconds), so that nothing has to be quoted, in PromQL, in SQL or in an address.
 */
export function fillMetricWords(query: string, { path, intervalMs }: { path: MetricPath; intervalMs: number }): string {
  const values: Record<Word, string> = { path, interval: String(Math.round(intervalMs / 1000)) };
  return query.replace(WORD, (whole, braced: string | undefined, bare: string | undefined) => {
    const word = braced ?? bare ?? '';
    return isWord(word) ? values[word] : whole;
  });
}

/** The texts of a metric in which words may stand, each with the keys that lead to it. */
export function metricTexts({ prometheus, sql, http }: Metric): { at: string[]; text: string }[] {
  if (typeof prometheus === 'string') return [{ at: ['prometheus'], text: prometheus }];
  const source = Object.entries({ prometheus, sql, http }).find(([, value]) => value !== undefined);
  if (source === undefined) return [];
  const [name, texts] = source as [string, Record<string, string | undefined>];
  return ['url', 'query', 'path', 'bad', 'total'].flatMap((key) => {
    const found = texts[key];
    return found === undefined ? [] : [{ at: [name, key], text: found }];
  });
}
