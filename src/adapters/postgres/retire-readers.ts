import { PostgresError } from './database-error.ts';
import { quoteTable } from './identifier.ts';
import { wait } from './lock-ladder.ts';
import { namesWord } from './retire-references.ts';
import { type RetireTarget, type RetireWork, stillInUse } from './retire-work.ts';

/**
 * Who still reads or writes, as far as pg_stat_statements can tell: how often each statement that names something was
 * called. Its texts have no values; those of other people's statements are hidden from a role without pg_read_all_stats.
 */
export type StatementsSeen = { seen: true; calls: StatementCalls; hidden: boolean } | { seen: false; why: string };
/** Calls and text by Postgres's number of the statement. */
export type StatementCalls = ReadonlyMap<string, { text: string; calls: number }>;

/** Marks our own statements that read what is retired: we are nobody's client. */
export const OURS = '/* switchback */';
/** Our markers of a dual write have such a name: who reads them is one of our verifications. */
const OUR_MARKER = 'zz_switchback_';

const OBSERVED_MS = 3_000;
const LOOK_EVERY_MS = 250;
const SHOWN_MAX = 5;
const SHOWN_LENGTH_MAX = 160;

/** Statements of clients that read or write the table or column of this name. */
export async function seeStatements(
  { database, uses }: Pick<RetireWork, 'database' | 'uses'>,
  name: RetireTarget,
): Promise<StatementsSeen> {
  const words = name.column === null ? [name.table] : [name.table, name.column];
  const [extension] = await database.query(
    `SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'`,
  );
  if (extension === undefined) return { seen: false, why: 'pg_stat_statements is not installed' };
  const view = quoteTable(extension['nspname'] ?? '', 'pg_stat_statements');
  try {
    // Statements inside functions are not the clients' own; versions before 1.9 don't tell them apart.
    const rows = await database.query(
      `SELECT ${OURS} s.queryid::text AS id, min(s.query) AS query, sum(s.calls)::bigint AS calls FROM ${view} s
       WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND coalesce((to_jsonb(s) ->> 'toplevel')::boolean, true)
         AND (s.queryid IS NULL OR NOT EXISTS (SELECT FROM unnest($1::text[]) w (word) WHERE strpos(lower(s.query), lower(w.word)) = 0))
       GROUP BY s.queryid`,
      [words],
    );
    const ofClients = rows.filter(({ query }) => query !== null && isOfClient(query ?? ''));
    const named = ofClients.filter(
      ({ query }) => words.every((word) => namesWord(query ?? '', word)) && uses(query ?? '', name),
    );
    const calls = new Map(
      named.map((row) => [row['id'] ?? '', { text: row['query'] ?? '', calls: Number(row['calls']) }]),
    );
    return { seen: true, calls, hidden: rows.some(({ id }) => id === null) };
  } catch (error) {
    // The library isn't loaded, or the role may not look: that is no reason to stop, but one to say so.
    if (!(error instanceof PostgresError) || !/^(55000|42501)$/.test(error.sqlState)) throw error;
    return {
      seen: false,
      why: error.sqlState === '55000' ? 'pg_stat_statements is not loaded' : 'the role may not read pg_stat_statements',
    };
  }
}
const isOfClient = (query: string): boolean => !query.includes(OURS) && !query.includes(OUR_MARKER);

/** The texts of what was called since: more often than before, or at all where the counts were reset. */
export const calledSince = (before: Readonly<Record<string, number>>, now: StatementCalls): string[] =>
  [...now].flatMap(([id, { text, calls }]) => (calls > 0 && calls !== (before[id] ?? 0) ? [text] : []));

export const callsOf = (calls: StatementCalls): Record<string, number> =>
  Object.fromEntries([...calls].map(([id, of]) => [id, of.calls]));

/**
 * Watches for three seconds whether a client still uses what is to go out of use, by its present name. Throws
 * `StillInUse` at the first statement that is called meanwhile. Answers with what was seen, in words.
 */
export async function watchReaders(work: RetireWork): Promise<string> {
  const { target, signal, onWait } = work;
  const first = await seeStatements(work, target);
  if (!first.seen) return `who reads it was not looked at: ${first.why}`;
  const before = callsOf(first.calls);
  for (const end = Date.now() + OBSERVED_MS; ; ) {
    const now = await seeStatements(work, target);
    const called = now.seen ? calledSince(before, now.calls) : [];
    if (called.length > 0) throw readersFound(target, called);
    if (Date.now() >= end) break;
    onWait(`watches whether anyone still uses ${target.table}${target.column === null ? '' : `.${target.column}`}`);
    await wait(LOOK_EVERY_MS, signal);
  }
  const seen = `no statement used it for ${OBSERVED_MS / 1_000} s`;
  return first.hidden ? `${seen}; statements of other roles are hidden from the worker's` : seen;
}

export const readersFound = (target: RetireTarget, texts: readonly string[]): Error =>
  stillInUse(
    target,
    `is still used by ${texts.length === 1 ? 'a statement' : `${texts.length} statements`} of clients: ${statementWords(texts)}`,
    'let their services stop using it (pg_stat_statements counts the calls), then retry',
  );

const statementWords = (texts: readonly string[]): string => {
  const shown = texts.slice(0, SHOWN_MAX).map((text) => {
    const line = text.replaceAll(/\s+/g, ' ').trim();
    return line.length <= SHOWN_LENGTH_MAX ? line : `${line.slice(0, SHOWN_LENGTH_MAX - 1)}…`;
  });
  return [...shown, ...(texts.length > SHOWN_MAX ? [`and ${texts.length - SHOWN_MAX} more`] : [])].join('; ');
};
