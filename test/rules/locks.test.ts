import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database, type Queryable, type Row } from '../../src/adapters/postgres/database.ts';
import { readSchemaFacts } from '../../src/adapters/postgres/schema-facts.ts';
import { impactOf, LOCK_MODES, namesUsed, type SchemaFacts, statementsOf } from '../../src/sql/index.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';
import { CASES } from './lock-cases.ts';
import { SCHEMA_SQL } from './lock-schema.ts';

/** Every relation of the schema that was there before: its file, and how often this transaction has read it through. */
const RELATIONS = `
  SELECT c.oid::text, c.relname AS name, c.relkind AS kind, pg_relation_filenode(c.oid)::text AS file,
    pg_stat_get_xact_numscans(c.oid)::text AS scans
  FROM pg_class c WHERE c.oid = ANY ($1::oid[]) OR cardinality($1::oid[]) = 0 AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'l')
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'i', 'I', 'S')`;
const LOCKS = `
  SELECT relation::text AS oid, mode FROM pg_locks
  WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted`;
/** `AccessShareLock` as `ACCESS SHARE`. */
const inWords = (mode: string): string =>
  mode
    .replace(/Lock$/, '')
    .replaceAll(/(?<=.)([A-Z])/g, ' $1')
    .toUpperCase();

let fresh: FreshDatabase;
let database: Database;
let facts: SchemaFacts;
beforeAll(async () => {
  fresh = await freshDatabase('locks');
  database = new Database('app', { url: fresh.url });
  await database.query(`CREATE SCHEMA l; SET search_path = l; ${SCHEMA_SQL}; ANALYZE; SET search_path = pg_catalog`);
  const names = Object.values(CASES).flatMap((statements) => statements.map((sql) => namesUsed(sql, 'l')));
  facts = await database.session((session) =>
    readSchemaFacts(session, {
      relations: names.flatMap(({ relations }) => relations),
      types: names.flatMap(({ types }) => types),
      functions: names.flatMap(({ functions }) => functions),
    }),
  );
});
afterAll(async () => {
  await database.close();
  await fresh.drop();
});

/** `t ACCESS EXCLUSIVE, u SHARE | rewrites t | reads t`: a statement's effects on tables and views. */
const line = (locks: readonly string[], rewrites: readonly string[], reads: readonly string[]): string =>
  [
    [...new Set(locks)].sort().join(', '),
    ...[`rewrites ${rewrites.toSorted().join(' ')}`, `reads ${[...new Set(reads)].sort().join(' ')}`],
  ].join(' | ');

interface Effects {
  tables: string;
  /** Locks on indexes and sequences. A statement locks many; what is foretold are those that it is about. */
  parts: string[];
}

/** Runs the statement in a transaction that is rolled back, and looks at what it holds then. */
async function effectsSeen(session: Queryable, sql: string): Promise<{ seen: Effects; before: Row[] }> {
  await session.query('BEGIN; SET LOCAL search_path = l');
  try {
    const before = await session.query(RELATIONS, [[]]);
    const was = new Map(before.map((row) => [row['oid'], row]));
    await session.query(sql);
    const after = await session.query(RELATIONS, [before.map(({ oid }) => String(oid))]);
    const held = new Map<string, string>();
    for (const { oid, mode } of await session.query(LOCKS)) {
      const strength = (of: string | undefined): number => LOCK_MODES.findIndex((one) => one === of);
      const words = inWords(String(mode));
      if (was.has(oid) && strength(words) > strength(held.get(String(oid)))) held.set(String(oid), words);
    }
    const locks = (tables: boolean): string[] =>
      [...held].flatMap(([oid, words]) =>
        isTable(was.get(oid)?.['kind']) === tables ? [`${was.get(oid)?.['name']} ${words}`] : [],
      );
    const changed = (field: string): string[] =>
      after.flatMap((row) => {
        const old = was.get(row['oid']);
        return 'rm'.includes(old?.['kind'] ?? '?') && old?.[field] !== row[field] ? [String(old?.['name'])] : [];
      });
    return { seen: { tables: line(locks(true), changed('file'), changed('scans')), parts: locks(false) }, before };
  } finally {
    await session.query('ROLLBACK');
  }
}
const isTable = (kind: string | null | undefined): boolean => 'rpvmf'.includes(kind ?? '?');

function effectsForetold(sql: string, before: readonly Row[]): Effects {
  const [statement] = statementsOf(sql);
  if (statement === undefined) throw new Error(`no statement: ${sql}`);
  const { locks, rewrites, scans } = impactOf(statement, 'l', facts);
  const tables = new Set(before.filter(({ kind }) => isTable(kind)).map(({ name }) => name));
  const named = (of: boolean): string[] =>
    locks.filter(({ relation }) => tables.has(relation) === of).map(({ relation, mode }) => `${relation} ${mode}`);
  const rewritten = rewrites.map(({ relation }) => relation).filter((name) => tables.has(name));
  return {
    tables: line(named(true), rewritten, [...rewritten, ...scans.map(({ relation }) => relation)]),
    parts: named(false),
  };
}

describe('what impactOf foretells is what Postgres does', () => {
  test.each(Object.entries(CASES))('%s', async (_, statements) => {
    const foretold: string[] = [];
    const done: string[] = [];
    await database.session(async (session) => {
      for (const sql of statements) {
        const { seen, before } = await effectsSeen(session, sql);
        const expected = effectsForetold(sql, before);
        foretold.push(`${sql}: ${expected.tables}; ${expected.parts.join(', ')}`);
        done.push(`${sql}: ${seen.tables}; ${expected.parts.filter((part) => seen.parts.includes(part)).join(', ')}`);
      }
    });
    expect(foretold).toEqual(done);
  });
});
