import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database, type Queryable } from '../../src/adapters/postgres/database.ts';
import { readSchemaFacts } from '../../src/adapters/postgres/schema-facts.ts';
import { analyse, namesUsed, RULES, type RuleExample, statementsOf } from '../../src/sql/index.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';

const SCHEMA = 'shop';

let fresh: FreshDatabase;
let database: Database;
beforeAll(async () => {
  fresh = await freshDatabase('rules');
  database = new Database('app', { url: fresh.url });
});
afterAll(async () => {
  await database.close();
  await fresh.drop();
});

/** Rules about what Postgres itself refuses. */
const REFUSED = new Set([
  'add-column-not-null-without-default',
  'column-used-by-view',
  'create-or-replace-view-changes-columns',
  'function-signature-change',
  'no-create-privilege',
  'no-references-privilege',
  'not-owner',
  'sequence-type-overflow',
  'unique-lacks-partition-key',
]);
/** Rules whose examples need what isn't here: a role, a file, another version of an extension. */
const ELSEWHERE = new Set(['copy-program', 'extension-change', 'owner-change', 'set-schema-under-readers']);

interface Outcome {
  rules: string[];
  /** `runs`, or what Postgres says against the statements. */
  run: string;
}

/** What the rules say of an example, with the facts of a real catalog, and whether Postgres takes it. */
async function outcomeOf(example: RuleExample): Promise<Outcome> {
  return rolledBack(async (session) => {
    await session.query(`CREATE SCHEMA ${SCHEMA}; SET LOCAL search_path = ${SCHEMA}`);
    if (example.given !== '') await session.query(example.given);
    await session.query('SET LOCAL search_path = pg_catalog');
    const read = await readSchemaFacts(session, namesUsed(example.up, SCHEMA), { roomBytes: null });
    const facts = example.meanwhile === undefined ? read : example.meanwhile.facts(read);
    const { statements } = analyse(example.up, { schema: SCHEMA, facts, hasDown: example.down !== undefined });
    const rules = statements.flatMap(({ findings }) => findings.map(({ rule }) => rule));
    // What only the facts say, the catalog doesn't have.
    return { rules, run: example.meanwhile === undefined ? await runUp(session, example) : 'runs' };
  });
}

/** As an author would run it, one statement after the other; what can't be in a transaction without that word. */
async function runUp(session: Queryable, { up }: RuleExample): Promise<string> {
  try {
    await session.query(`SET LOCAL search_path = ${SCHEMA}`);
    for (const { text } of statementsOf(up)) await session.query(text.replaceAll(/\bCONCURRENTLY\b/gi, ''));
    return 'runs';
  } catch (error) {
    return (error as Error).message;
  }
}

async function rolledBack<T>(work: (session: Queryable) => Promise<T>): Promise<T> {
  const done: { value?: T } = {};
  const undo = new Error('rolled back');
  await database
    .transaction(async (session) => {
      done.value = await work(session);
      throw undo;
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error;
    });
  return done.value as T;
}

describe('each rule, on a real catalog', () => {
  test.each(RULES.map((rule) => [rule.code, rule] as const))('%s', async (code, { examples }) => {
    const fires = await outcomeOf(examples.fires);
    const silent = await outcomeOf(examples.silent);
    expect(fires.rules).toContain(code);
    expect(silent.rules).not.toContain(code);
    if (ELSEWHERE.has(code)) return;
    if (REFUSED.has(code)) expect(fires.run).not.toBe('runs');
    else expect(fires.run).toBe('runs');
    expect(silent.run).toBe('runs');
  });
});

test('codes are kebab-case and each is there once', () => {
  const codes = RULES.map(({ code }) => code);
  expect(codes.filter((code) => !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(code))).toEqual([]);
  expect(codes.filter((code, at) => codes.indexOf(code) !== at)).toEqual([]);
});
